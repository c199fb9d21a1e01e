// Crowd measures what ten thousand clients that do nothing cost, and whether they keep honest mail out.
//
//	go run ./test/bench/crowd -onward bin/onward
//
// First, ten thousand plain connections are opened, greeted and left alone: printed is the server's memory before and after.
// Then honest clients send messages, each over a connection of its own, alone and while ten thousand slow ones, which say a
// letter every other second and come back 5 seconds after they are thrown out, take all the connections that there are: printed is the
// rate at which honest messages are accepted. Clients come from many addresses of loopback, and none of them is known.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	binary := flag.String("onward", "bin/onward", "the program to measure")
	clients := flag.Int("clients", 10_000, "idle and slow clients")
	seconds := flag.Int("seconds", 10, "how long each rate is measured")
	flag.Parse()
	if err := crowd(*binary, *clients, time.Duration(*seconds)*time.Second); err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}

// back is how soon a slow client that was thrown out is there again.
const back = 5 * time.Second

const addr = "127.0.0.1:25225"

// server starts Onward with a limit of connections.
func server(binary string, connections int) (cmd *exec.Cmd, stop func(), err error) {
	dir, err := os.MkdirTemp("", "crowd")
	if err != nil {
		return nil, nil, err
	}
	config := fmt.Sprintf(`hostname = "mx.example.org"
data = "data"
[listen]
mx = [%q]
submission = []
submissions = []
web = []
[limits]
connections = %d
connections_per_address = 100000
connections_per_network = 100000
connection_rate = 0
block = "never"
known = []
[log]
level = "error"
`, addr, connections)
	file := filepath.Join(dir, "onward.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, nil, err
	}
	for _, args := range [][]string{{"domain", "add", "example.org"}, {"address", "add", "anna@example.org", "--mailbox"}} {
		if out, err := exec.Command(binary, append(args, "--config", file)...).CombinedOutput(); err != nil {
			return nil, nil, fmt.Errorf("onward %v: %w: %s", args, err, out)
		}
	}
	cmd = exec.Command(binary, "serve", "--config", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		cmd.Process.Kill() //nolint:errcheck // it may be gone
		cmd.Wait()         //nolint:errcheck // the same
		os.RemoveAll(dir)  //nolint:errcheck // the system clears it
	}
	for end := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return cmd, stop, nil
		}
		if time.Now().After(end) {
			stop()
			return nil, nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// memory is what the process holds of its own, in octets.
func memory(pid int) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("the kernel does not say how much memory the process has")
}

// dial connects from one of many addresses of loopback.
func dial(n int) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}}
	return d.Dial("tcp", addr)
}

func crowd(binary string, clients int, span time.Duration) error {
	if err := idle(binary, clients); err != nil {
		return err
	}
	cmd, stop, err := server(binary, clients/5)
	if err != nil {
		return err
	}
	defer stop()
	before := honest(span)
	over := make(chan struct{})
	var slow sync.WaitGroup
	for i := range clients {
		slow.Go(func() { loris(i, over) })
	}
	time.Sleep(span) // until they have taken all that there is
	during := honest(span)
	m, err := memory(cmd.Process.Pid)
	close(over)
	slow.Wait()
	if err != nil {
		return err
	}
	fmt.Printf("honest mail   %.0f/s alone, %.0f/s beside %d slow clients and %d connections in all: %.0f %%; memory %d MB\n",
		before, during, clients, clients/5, 100*during/before, m>>20)
	return nil
}

// idle measures connections that wait.
func idle(binary string, clients int) error {
	cmd, stop, err := server(binary, clients+100)
	if err != nil {
		return err
	}
	defer stop()
	before, err := memory(cmd.Process.Pid)
	if err != nil {
		return err
	}
	conns := make([]net.Conn, clients)
	for i := range conns {
		if conns[i], err = dial(i); err != nil {
			return err
		}
		defer conns[i].Close()
		if _, err := bufio.NewReaderSize(conns[i], 128).ReadString('\n'); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second)
	after, err := memory(cmd.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Printf("idle          %d connections: %d MB before, %d MB with them, %.1f KB each\n", clients, before>>20, after>>20, float64(after-before)/float64(clients)/1024)
	return nil
}

// loris is a slow client: it says a letter every other second, and comes back.
func loris(n int, over chan struct{}) {
	for {
		c, err := dial(n)
		if err == nil {
			go func() { io.Copy(io.Discard, c) }() //nolint:errcheck // it does not listen
			for err == nil {
				select {
				case <-over:
					c.Close()
					return
				case <-time.After(2 * time.Second):
					_, err = c.Write([]byte("E"))
				}
			}
			c.Close()
		}
		select {
		case <-over:
			return
		case <-time.After(back):
		}
	}
}

// honest sends messages, one a connection, and returns how many a second were accepted.
func honest(span time.Duration) float64 {
	const senders = 8
	var accepted atomic.Int64
	end := time.Now().Add(span)
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for time.Now().Before(end) {
				if send(20_000+i) == nil {
					accepted.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(accepted.Load()) / span.Seconds()
}

func send(n int) error {
	c, err := dial(n)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for _, step := range []struct{ say, hear string }{
		{"", "220"},
		{"HELO a.example\r\n", "250"},
		{"MAIL FROM:<>\r\n", "250"},
		{"RCPT TO:<anna@example.org>\r\n", "250"},
		{"DATA\r\n", "354"},
		{"Subject: honest\r\n\r\nHello.\r\n.\r\n", "250"},
		{"QUIT\r\n", "221"},
	} {
		if _, err := io.WriteString(c, step.say); err != nil {
			return err
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, step.hear) {
			return fmt.Errorf("heard %q", line)
		}
	}
	return nil
}
