package deliver

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/message"
)

// sink is the cheapest server that can be thought of: what the benchmark
// measures is ours.
func sink(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = c.Write([]byte("220 sink\r\n"))
			r := bufio.NewReaderSize(c, 64<<10)
			var out []byte
			for content := false; ; {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				switch {
				case content:
					if content = !bytes.Equal(line, []byte(".\r\n")); !content {
						out = append(out, "250 2.0.0 kept\r\n"...)
					}
				case bytes.HasPrefix(line, []byte("EHLO")):
					out = append(out, "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n"...)
				case bytes.HasPrefix(line, []byte("DATA")):
					out = append(out, "354 go\r\n"...)
					content = true
				default:
					out = append(out, "250 2.0.0 fine\r\n"...)
				}
				if r.Buffered() == 0 && len(out) > 0 {
					if _, err := c.Write(out); err != nil {
						return
					}
					out = out[:0]
				}
			}
		}()
	}
}

// counted counts the calls that cost something.
type counted struct {
	net.Conn
	writes, reads, deadlines *int
}

func (c counted) Write(p []byte) (int, error)   { *c.writes++; return c.Conn.Write(p) }
func (c counted) Read(p []byte) (int, error)    { *c.reads++; return c.Conn.Read(p) }
func (c counted) SetDeadline(t time.Time) error { *c.deadlines++; return c.Conn.SetDeadline(t) }
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkDeliver sends 4 KB over loopback on a kept connection. cpu/op counts
// the sink as well.
func BenchmarkDeliver(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go sink(ln)
	at := netip.MustParseAddrPort(ln.Addr().String())
	var writes, reads, deadlines int
	d := New(Options{
		Hostname: "mx.onward.example",
		Routes:   func(string) (Route, bool) { return Route{Host: "127.0.0.1", Port: int(at.Port())}, true },
		Limits:   Limits{Messages: 1000},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return counted{c, &writes, &reads, &deadlines}, err
		},
	})
	defer d.Close(context.Background())
	content := "From: a@example.org\r\nTo: b@example.net\r\nSubject: bench\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 56)
	a := attempt("route:*", "a@example.net")
	a.Inline = []byte(content)
	a.Message.Size, a.Message.HeaderSize = int64(len(content)), strings.Index(content, "\r\n\r\n")+4
	a.Message.Edits = message.EditList{{Kind: message.Prepend, Text: "Received: from x (x [192.0.2.1])\r\n\tby y with ESMTPS id 123;\r\n\tMon, 02 Jan 2006 15:04:05 +0000\r\n", Rule: "trace"}}
	a.Renew = func(context.Context) {}
	ctx := context.Background()
	b.ReportAllocs()
	runtime.GC()
	start := cpu()
	for b.Loop() {
		if out := d.Deliver(ctx, a); line(out[0]) != delivered {
			b.Fatalf("%s: %s", line(out[0]), out[0].Detail)
		}
	}
	n := float64(b.N)
	b.ReportMetric(float64(cpu()-start)/n, "cpu-ns/op")
	b.ReportMetric(float64(writes)/n, "writes/op")
	b.ReportMetric(float64(reads)/n, "reads/op")
	b.ReportMetric(float64(deadlines)/n, "deadlines/op")
}
