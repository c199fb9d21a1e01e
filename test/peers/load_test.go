//go:build peers

package peers

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A load is a crowd of clients that send without end, and remembers each message that the server took responsibility for.
// Every message has an identity of its own and carries a digest of its body.
type load struct {
	address   string
	recipient string
	large     int // one message in so many is large; 0: none

	stop chan struct{}
	all  sync.WaitGroup
	next atomic.Int64
	sent atomic.Int64 // messages whose final dot was sent, answered or not

	mu       sync.Mutex // guards accepted and refused
	accepted map[string]bool
	refused  []string // replies to anything that were neither 2xx nor 3xx
}

const largeBody = 300 << 10

// startLoad lets the given number of clients loose.
func startLoad(clients int, seed uint64, address, recipient string, large int) *load {
	l := &load{address: address, recipient: recipient, large: large, stop: make(chan struct{}), accepted: map[string]bool{}}
	for i := range clients {
		l.all.Go(func() { l.client(rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	return l
}

// end stops the clients and waits for them.
func (l *load) end() {
	close(l.stop)
	l.all.Wait()
}

// taken is how many messages got 250 so far.
func (l *load) taken() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

func (l *load) client(random *rand.Rand) {
	for {
		l.connection(random)
		select {
		case <-l.stop:
			return
		case <-time.After(10 * time.Millisecond): // the server is down; it comes back
		}
	}
}

// connection sends message after message until the server goes away or the load ends.
func (l *load) connection(random *rand.Rand) {
	conn, err := net.DialTimeout("tcp", l.address, time.Second)
	if err != nil {
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	ask := func(want byte, format string, args ...any) bool {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(conn, format, args...); err != nil {
			return false
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return false
			}
			if len(line) > 3 && line[3] == '-' {
				continue
			}
			if line[0] != want {
				l.mu.Lock()
				l.refused = append(l.refused, strings.TrimSpace(line))
				l.mu.Unlock()
			}
			return line[0] == want
		}
	}
	if !ask('2', "") || !ask('2', "EHLO client.example.com\r\n") {
		return
	}
	for {
		select {
		case <-l.stop:
			_ = ask('2', "QUIT\r\n")
			return
		default:
		}
		id := fmt.Sprintf("m%08d", l.next.Add(1))
		if !ask('2', "MAIL FROM:<sender@example.com>\r\n") || !ask('2', "RCPT TO:<%s>\r\n", l.recipient) || !ask('3', "DATA\r\n") {
			return
		}
		size := 500 + random.IntN(4000)
		if l.large > 0 && random.IntN(l.large) == 0 {
			size = largeBody
		}
		if _, err := io.WriteString(conn, letter(id, size, random)); err != nil {
			return
		}
		l.sent.Add(1)
		if !ask('2', ".\r\n") {
			return
		}
		l.mu.Lock()
		l.accepted[id] = true
		l.mu.Unlock()
	}
}

// letter makes a message whose header names its identity and the digest of its body.
func letter(id string, size int, random *rand.Rand) string {
	var body strings.Builder
	for body.Len() < size {
		fmt.Fprintf(&body, "%016x%016x%016x%016x\r\n", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())
	}
	return fmt.Sprintf("From: sender@example.com\r\nSubject: load\r\nX-Id: %s\r\nX-Digest: %s\r\n\r\n%s", id, digest(body.String()), body.String())
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// identity returns the X-Id of a message, and whether its body is the one that was sent.
func identity(content string) (id string, whole bool) {
	header, body, _ := strings.Cut(content, "\r\n\r\n")
	var want string
	for line := range strings.SplitSeq(header, "\r\n") {
		if value, ok := strings.CutPrefix(line, "X-Id: "); ok {
			id = value
		}
		if value, ok := strings.CutPrefix(line, "X-Digest: "); ok {
			want = value
		}
	}
	return id, want == digest(body)
}
