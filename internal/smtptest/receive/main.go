// Receive measures receiving alone: the same generator sends messages of 4 KB and 64 KB over connections that it keeps to
// Onward's server and to one made with emersion/go-smtp, each a process of its own that throws the content away.
//
//	go run ./internal/smtptest/receive
//
// Ours does all that it does in front of the queue: grammar, limits, framing with its refusal of bare line ends, look-up of the
// recipient, scanning of the header section, trace field and edits; only the queue behind it is replaced by one that forgets.
// The other answers and copies what it reads to nowhere. Printed is the processor time of each server for one message (user and
// system, from /proc), the median of several rounds in turn, and the ratio; the generator's own time is not in it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	emersion "github.com/emersion/go-smtp"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/intake"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/smtpd"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

func main() {
	serve := flag.String("serve", "", "be the server: onward or go-smtp")
	sessions := flag.Int("sessions", 8, "connections at a time")
	rounds := flag.Int("rounds", 5, "rounds of each server and size")
	octets := flag.Int64("octets", 400<<20, "octets of content in a round of the larger size; a quarter of it of the smaller")
	flag.Parse()
	var err error
	if *serve != "" {
		err = server(*serve)
	} else {
		err = bench(*sessions, *rounds, *octets)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "receive:", err)
		os.Exit(1)
	}
}

// server listens, says where, and serves until its input ends.
func server(kind string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	switch kind {
	case "onward":
		go ours().Serve(context.Background(), ln, smtpd.MX()) //nolint:errcheck // ends with the process
	case "go-smtp":
		s := emersion.NewServer(nowhere{})
		s.Domain, s.MaxMessageBytes, s.MaxRecipients = "mx.example.org", 50<<20, 1000
		s.ErrorLog = quiet{}
		go s.Serve(ln) //nolint:errcheck // ends with the process
	default:
		return fmt.Errorf("no server is called %q", kind)
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// nowhere is the discarding backend of go-smtp.
type nowhere struct{}

func (nowhere) NewSession(*emersion.Conn) (emersion.Session, error) { return nowhere{}, nil }
func (nowhere) Mail(string, *emersion.MailOptions) error            { return nil }
func (nowhere) Rcpt(string, *emersion.RcptOptions) error            { return nil }
func (nowhere) Reset()                                              {}
func (nowhere) Logout() error                                       { return nil }

func (nowhere) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// ours is Onward's server with its decisions, and a queue that forgets.
func ours() *smtpd.Server {
	h := intake.New(intake.Options{
		Hostname: "mx.example.org", Resolver: &recipient.Resolver{Directory: book{}, Hostname: address.MustDomain("mx.example.org")},
		Queue: forgets{}, IDs: queue.NewIDs(1), NewBuffer: func() queue.Content { return new(discarded) },
		Random: func() string { return "random" },
	}, intake.Settings{MaxSize: 50 << 20, MaxRecipients: 1000, Route: func(a address.Mailbox) queue.Destination { return queue.ToDomain(a.Domain) }})
	return smtpd.NewServer(h, smtpd.Options{Hostname: "mx.example.org", MaxMails: 1 << 30})
}

// book knows every address of example.org.
type book struct{ recipient.Directory }

func (book) Domain(_ context.Context, d address.Domain) (recipient.Domain, error) {
	return recipient.Domain{Name: d}, nil
}

func (book) Address(_ context.Context, m address.Mailbox) (recipient.Address, error) {
	return recipient.Address{Address: m, Kind: recipient.Mailbox}, nil
}

type forgets struct{}

func (forgets) Enqueue(context.Context, *queue.Entry) error { return nil }

type discarded struct{ size int64 }

func (d *discarded) Write(p []byte) (int, error) { d.size += int64(len(p)); return len(p), nil }
func (d *discarded) Size() int64                 { return d.size }
func (d *discarded) Inline() ([]byte, bool)      { return nil, false }
func (d *discarded) Abort()                      {}

// process is a server that runs.
type process struct {
	name string
	cmd  *exec.Cmd
	stop io.Closer
	addr string
}

func start(name string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(self, "-serve", name)}
	p.cmd.Stderr = os.Stderr
	if p.stop, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s did not start: %w", name, err)
	}
	p.addr = strings.TrimSpace(line)
	if _, err := netip.ParseAddrPort(p.addr); err != nil {
		return nil, err
	}
	return p, nil
}

// used is the processor time that the process has had.
func (p *process) used() (time.Duration, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0, err
	}
	const utime, stime = 11, 12 // after the name and its parenthesis: proc(5)
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) <= stime {
		return 0, errors.New("/proc/PID/stat is not as expected")
	}
	var sum int64
	for _, v := range f[utime : stime+1] {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

func bench(sessions, rounds int, octets int64) error {
	var servers []*process
	for _, name := range []string{"onward", "go-smtp"} {
		p, err := start(name)
		if err != nil {
			return err
		}
		defer p.cmd.Wait()   //nolint:errcheck // it ends with its input
		defer p.stop.Close() //nolint:errcheck // the same
		servers = append(servers, p)
	}
	for _, size := range []int{4 << 10, 64 << 10} {
		messages := int(octets / 4 / int64(size))
		if size > 4<<10 {
			messages = int(octets / int64(size))
		}
		figures := make([][]float64, len(servers))
		for range rounds {
			for i, p := range servers {
				before, err := p.used()
				if err != nil {
					return err
				}
				if err := generate(p.addr, sessions, messages, size); err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				after, err := p.used()
				if err != nil {
					return err
				}
				figures[i] = append(figures[i], float64((after-before).Microseconds())/float64(messages))
			}
		}
		for i := range figures {
			slices.Sort(figures[i])
		}
		us, them := figures[0][rounds/2], figures[1][rounds/2]
		fmt.Printf("%2d KB  onward %6.1f µs (%.1f–%.1f)   go-smtp %6.1f µs (%.1f–%.1f)   ratio %.2f   %d messages a round\n", size>>10,
			us, figures[0][0], figures[0][rounds-1], them, figures[1][0], figures[1][rounds-1], us/them, messages)
	}
	return nil
}

// generate sends messages over some connections that are kept.
func generate(addr string, sessions, messages, size int) error {
	content := message(size)
	errs := make([]error, sessions)
	var all sync.WaitGroup
	for i := range sessions {
		n := messages / sessions
		if i < messages%sessions {
			n++
		}
		all.Go(func() { errs[i] = session(addr, n, content) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// message is one of a usual form: a dozen header fields and lines of text.
func message(size int) []byte {
	var b bytes.Buffer
	b.WriteString("Received: from mail.example.net (mail.example.net [192.0.2.7])\r\n\tby mail.example.com with ESMTPS id abcdef; Tue, 24 Nov 2026 12:00:00 +0000\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s1; h=from:to:subject;\r\n\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=abcdefghijklmnopqrstuvwxyz\r\n" +
		"From: Bob <bob@example.com>\r\nTo: Anna <anna@example.org>\r\nSubject: a message\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n" +
		"Message-ID: <1@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	for i := 0; b.Len() < size; i++ {
		if i%20 == 19 {
			b.WriteString(". a line with a dot\r\n")
		}
		b.WriteString("The quick brown fox jumps over the lazy dog, and the dog does not mind it at all.\r\n")
	}
	return b.Bytes()
}

// session sends n messages, each with its commands in one packet, as its server allows.
func session(addr string, n int, content []byte) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	hear := func(code string) error {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			if !strings.HasPrefix(line, code) {
				return fmt.Errorf("heard %q and not %s", line, code)
			}
			if line[3] == ' ' {
				return nil
			}
		}
	}
	say := func(p []byte, codes ...string) error {
		if _, err := c.Write(p); err != nil {
			return err
		}
		for _, code := range codes {
			if err := hear(code); err != nil {
				return err
			}
		}
		return nil
	}
	if err := hear("220"); err != nil {
		return err
	}
	if err := say([]byte("EHLO bench.example.com\r\n"), "250"); err != nil {
		return err
	}
	envelope := []byte("MAIL FROM:<bob@example.com> SIZE=" + strconv.Itoa(len(content)) + "\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n")
	stuffed := append(bytes.ReplaceAll(content, []byte("\r\n."), []byte("\r\n..")), ".\r\n"...)
	for range n {
		if err := say(envelope, "250", "250", "354"); err != nil {
			return err
		}
		if err := say(stuffed, "250"); err != nil {
			return err
		}
	}
	return say([]byte("QUIT\r\n"), "221")
}
