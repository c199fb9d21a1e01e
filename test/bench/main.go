// Bench measures Onward beside Postfix on this machine: the same smtp-source sends 4 KB messages to each of them in turn,
// each relays all of it to the same smtp-sink, both keep their queue on the same disk and call fsync before they answer 250.
//
//	go run ./test/bench -onward bin/onward
//
// Printed for each server, number of sessions and way of sending (a new connection for each message, or connections kept):
//
//	accepted/s   messages answered 250 in a second, until the last one was
//	drained/s    messages in the sink in a second, from the first byte sent until the last one has arrived
//	CPU          microseconds of processor for one message: user and system time of all of the server's processes
//	memory       the most the server's processes held at once: proportional set size, so that what Postfix's processes
//	             share is counted once; for Onward, which is one process, the kernel's own record of the peak
//
// Postfix is Debian's with these changes: no chroot, relayhost is the sink, default_process_limit 250 (the default, 100, is
// less than 100 sessions need), smtp_destination_concurrency_limit 50 and in_flow_delay 0, which make it faster here.
// Everything happens on loopback; it needs root, as Postfix does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// A run is one measurement's conditions.
type run struct {
	sessions int
	keep     bool // connections are kept for several messages
	messages int
}

// A figure is what came out.
type figure struct {
	run
	server   string
	accepted float64 // messages a second
	drained  float64 // messages a second
	cpu      float64 // microseconds a message
	memory   int64   // bytes
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context) error {
	onward := flag.String("onward", "bin/onward", "the binary to measure; empty: Postfix alone")
	postfixCount := flag.Int("postfix-messages", 4000, "messages of one run through Postfix")
	onwardCount := flag.Int("onward-messages", 20000, "messages of one run through Onward")
	sessions := flag.String("sessions", "20,100", "numbers of sessions at once")
	rounds := flag.Int("rounds", 1, "how often everything is measured")
	dir := flag.String("dir", "/var/tmp", "where the queues lie; not a tmpfs")
	flag.Parse()
	if *postfixCount < 1 || *onwardCount < 1 || *rounds < 1 {
		return errors.New("counts must be at least 1")
	}
	work, err := folder(*dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	servers := []struct {
		name     string
		messages int
		start    func(ctx context.Context, dir, address, sink string) (server, error)
	}{
		{"postfix", *postfixCount, startPostfix},
		{"onward", *onwardCount, func(ctx context.Context, dir, address, sink string) (server, error) {
			return startOnward(ctx, *onward, dir, address, sink)
		}},
	}
	if *onward == "" {
		servers = servers[:1]
	}
	var figures []figure
	for round := range *rounds {
		for _, text := range strings.Split(*sessions, ",") {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return fmt.Errorf("-sessions %q: want numbers with commas between them", *sessions)
			}
			for _, keep := range []bool{false, true} {
				for _, s := range servers {
					fmt.Fprintf(os.Stderr, "%s, %d sessions, connections kept: %t, %d messages\n", s.name, n, keep, s.messages)
					place := filepath.Join(work, fmt.Sprintf("%s-%d-%t-%d", s.name, n, keep, round))
					if err := os.Mkdir(place, 0o755); err != nil {
						return err
					}
					f, err := measure(ctx, place, run{n, keep, s.messages}, s.start)
					if err != nil {
						return fmt.Errorf("%s, %d sessions: %w", s.name, n, err)
					}
					f.server = s.name
					figures = append(figures, f)
				}
			}
		}
	}
	return table(os.Stdout, figures)
}

// folder makes a folder that Postfix's user can enter, on a real disk.
func folder(dir string) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", fmt.Errorf("look at %s: %w", dir, err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		return "", fmt.Errorf("%s is a tmpfs, where fsync costs nothing; name a folder on a disk with -dir", dir)
	}
	work, err := os.MkdirTemp(dir, "onward-bench-")
	if err != nil {
		return "", err
	}
	return work, os.Chmod(work, 0o755)
}

// measure starts sink and server, warms them up, sends, and waits until everything has arrived.
func measure(ctx context.Context, dir string, r run, start func(ctx context.Context, dir, address, sink string) (server, error)) (figure, error) {
	sink, err := startSink(ctx)
	if err != nil {
		return figure{}, err
	}
	defer sink.stop()
	address, err := freePort(ctx)
	if err != nil {
		return figure{}, err
	}
	s, err := start(ctx, dir, address, sink.address)
	if err != nil {
		return figure{}, err
	}
	defer s.stop()

	// The first messages start processes and fill caches, whatever the server.
	warm := run{sessions: r.sessions, keep: r.keep, messages: max(r.sessions, 200)}
	if err := send(ctx, warm, address); err != nil {
		return figure{}, err
	}
	if err := sink.wait(ctx, warm.messages); err != nil {
		return figure{}, err
	}

	watch := watchMemory(s)
	defer watch.end()
	before, err := s.cpu()
	if err != nil {
		return figure{}, err
	}
	begin := time.Now()
	if err := send(ctx, r, address); err != nil {
		return figure{}, err
	}
	accepted := time.Since(begin)
	if err := sink.wait(ctx, warm.messages+r.messages); err != nil {
		return figure{}, err
	}
	drained := time.Since(begin)
	after, err := s.cpu()
	if err != nil {
		return figure{}, err
	}
	n := float64(r.messages)
	return figure{
		run: r, accepted: n / accepted.Seconds(), drained: n / drained.Seconds(),
		cpu: float64((after - before).Microseconds()) / n, memory: watch.end(),
	}, nil
}

// send runs smtp-source to its end.
func send(ctx context.Context, r run, address string) error {
	args := []string{"-s", strconv.Itoa(r.sessions), "-m", strconv.Itoa(r.messages), "-l", "4096", "-f", "sender@example.com", "-t", "friend@example.net"}
	if r.keep {
		args = append(args, "-d")
	}
	out, err := exec.CommandContext(ctx, "smtp-source", append(args, address)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	return nil
}

func table(w io.Writer, figures []figure) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "server\tsessions\tconnections\tmessages\taccepted/s\tdrained/s\tCPU µs/message\tpeak memory MB\t")
	var last figure
	for _, f := range figures {
		connections := "new each"
		if f.keep {
			connections = "kept"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%.0f\t%.0f\t%.0f\t%.1f\t\n", f.server, f.sessions, connections, f.messages, f.accepted, f.drained, f.cpu, float64(f.memory)/1e6)
		if f.server == "onward" {
			fmt.Fprintf(t, "onward ÷ postfix\t\t\t\t%.1f ×\t%.1f ×\t%.2f ×\t%.2f ×\t\n",
				f.accepted/last.accepted, f.drained/last.drained, f.cpu/last.cpu, float64(f.memory)/float64(last.memory))
		}
		last = f
	}
	return t.Flush()
}

// freePort returns a loopback address that nobody listens on.
func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
