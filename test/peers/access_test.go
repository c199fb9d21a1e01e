//go:build peers

package peers

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// An access is the table of recipients that a Postfix asks with check_recipient_access, over socketmap_table(5). A file
// would be read once by each smtpd process, which serves a client that keeps its connection for as long as it does.
type access struct {
	address string

	mu      sync.Mutex // guards the map
	actions map[string]string
}

func newAccess(t *testing.T, actions map[string]string) *access {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	a := &access{address: l.Addr().String(), actions: maps.Clone(actions)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = a.serve(conn) // that of a Postfix that has hung up; another one shows in Postfix's log
			}()
		}
	}()
	return a
}

// forget makes the table know a recipient no longer, so that mail for it is taken.
func (a *access) forget(recipient string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.actions, recipient)
}

// serve answers requests «name key» in netstrings, until Postfix hangs up.
func (a *access) serve(conn net.Conn) error {
	r := bufio.NewReader(conn)
	for {
		length, err := r.ReadString(':')
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
		if err != nil || n > 10000 {
			return fmt.Errorf("not a netstring: %q", length)
		}
		request := make([]byte, n+1)
		if _, err := io.ReadFull(r, request); err != nil {
			return err
		}
		_, key, _ := strings.Cut(string(request[:n]), " ")
		a.mu.Lock()
		action, found := a.actions[key]
		a.mu.Unlock()
		answer := "NOTFOUND "
		if found {
			answer = "OK " + action
		}
		if _, err := fmt.Fprintf(conn, "%d:%s,", len(answer), answer); err != nil {
			return err
		}
	}
}
