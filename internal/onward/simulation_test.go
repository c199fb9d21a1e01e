package onward

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/queue"
)

// TestSimulation plays some hours of mail with the whole server, other servers
// and name servers that fail in every way by a plan, and then lets three days
// pass. The plan follows from the seed; the schedule of goroutines does not.
//
//	ONWARD_SEEDS=200 go test -run TestSimulation ./internal/onward    seeds 1 to 200
//	ONWARD_SEEDS=17-17 …                                              one seed
func TestSimulation(t *testing.T) {
	from, to := uint64(1), uint64(6)
	if text := os.Getenv("ONWARD_SEEDS"); text != "" {
		low, high, ranged := strings.Cut(text, "-")
		if !ranged {
			low, high = "1", text
		}
		var err1, err2 error
		from, err1 = strconv.ParseUint(low, 10, 64)
		to, err2 = strconv.ParseUint(high, 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("ONWARD_SEEDS is %q; it must be a number or two, as in 1-50: %v", text, err)
		}
	}
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				simulate(t, seed)
				if t.Failed() {
					t.Logf("seed %d: play it again with ONWARD_SEEDS=%d-%d", seed, seed, seed)
				}
			})
		})
	}
}

// The scale of a simulation.
const (
	simSessions = 40
	simHours    = 3
	simDomains  = 4
	simExpire   = "20h"
	simSettles  = 72 * time.Hour // much longer than a message and the report about it may wait
)

// chance is the source of a plan, for several goroutines.
type chance struct {
	mu sync.Mutex // guards r
	r  *rand.Rand
}

func newChance(seed, part uint64) *chance { return &chance{r: rand.New(rand.NewPCG(seed, part))} }

// one reports true once in n times.
func (c *chance) one(n int) bool { return c.n(n) == 0 }

func (c *chance) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

// moody is a network connection with delays that may break at any octet.
type moody struct {
	net.Conn
	c    *chance
	left int // octets until it breaks; negative: it does not
}

func (c *chance) connection(nc net.Conn) net.Conn {
	m := &moody{Conn: nc, c: c, left: -1}
	if c.one(8) {
		m.left = c.n(3000)
	}
	return m
}

// dial refuses or is silent now and then.
func (c *chance) dial(ctx context.Context, dial func() (net.Conn, error)) (net.Conn, error) {
	switch c.n(20) {
	case 0:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case 1:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	nc, err := dial()
	if err != nil {
		return nil, err
	}
	return c.connection(nc), nil
}

func (m *moody) Read(p []byte) (int, error) {
	if m.left == 0 {
		m.Conn.Close()
		return 0, syscall.ECONNRESET
	}
	if m.c.one(6) {
		time.Sleep(time.Duration(m.c.n(2000)) * time.Millisecond)
	}
	if m.left > 0 && len(p) > m.left {
		p = p[:m.left]
	}
	n, err := m.Conn.Read(p)
	if m.left > 0 {
		m.left -= n
	}
	return n, err
}

func (m *moody) Write(p []byte) (int, error) {
	if m.left < 0 || len(p) <= m.left {
		if m.left > 0 {
			m.left -= len(p)
		}
		return m.Conn.Write(p)
	}
	n, _ := m.Conn.Write(p[:m.left])
	m.left = 0
	m.Conn.Close()
	return n, syscall.EPIPE
}

// moodyNames is a resolver that fails now and then.
type moodyNames struct {
	dns.Resolver
	c *chance
}

func (m moodyNames) fail(ctx context.Context, name string) error {
	switch m.c.n(12) {
	case 0:
		return &dns.Error{Kind: dns.ServerFailure, Name: name, Detail: "by plan"}
	case 1:
		select {
		case <-time.After(15 * time.Second):
		case <-ctx.Done():
		}
		return &dns.Error{Kind: dns.Timeout, Name: name, Detail: "by plan"}
	}
	return nil
}

func (m moodyNames) MX(ctx context.Context, name string) (dns.Answer[dns.MX], error) {
	if err := m.fail(ctx, name); err != nil {
		return dns.Answer[dns.MX]{}, err
	}
	return m.Resolver.MX(ctx, name)
}

func (m moodyNames) Addresses(ctx context.Context, name string) (dns.Answer[netip.Addr], error) {
	if err := m.fail(ctx, name); err != nil {
		return dns.Answer[netip.Addr]{}, err
	}
	return m.Resolver.Addresses(ctx, name)
}

func (m moodyNames) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	if err := m.fail(ctx, name); err != nil {
		return dns.Answer[string]{}, err
	}
	return m.Resolver.TXT(ctx, name)
}

// simulation is one of them.
type simulation struct {
	t       *testing.T
	seed    uint64
	w       *world
	serving sync.RWMutex // held for writing while the server is exchanged

	mu       sync.Mutex // guards accepted
	accepted []sent

	boxes map[string][]string
}

// sent is a message that was answered with 250.
type sent struct {
	id    queue.ID
	token string
	from  string
	login bool
	to    []string // those that were answered with 250 or 251
	lines int      // of the body
}

// script makes the world: every address of example.org that forwards, and the
// other servers with their plans.
func (s *simulation) script() []byte {
	c := newChance(s.seed, 1)
	var dir, zone, mx strings.Builder
	dir.WriteString("domain example.org\nmailbox box@example.org\nmailbox anna@example.org\naccount anna@example.org correct\n" +
		"app anna@example.org phone bbbbbbbb-cccccccc-dddddddd-eeeeeeee-ffffffff active\n" +
		"forward team@example.org silent a0@d0.example hidden1@d1.example box@example.org\n")
	zone.WriteString("example.com. TXT \"v=spf1 ip4:127.0.0.1 -all\"\nexample.com. MX 10 mx0.d0.example.\n" +
		"dead.example. MX 10 mx.dead.example.\nmx.dead.example. A 198.51.100.66\nnull.example. MX 0 .\n")
	for d := range simDomains {
		fmt.Fprintf(&dir, "forward a%[1]d@example.org announce a%[1]d@d%[1]d.example\n", d)
		fmt.Fprintf(&dir, "forward h%[1]d@example.org silent hidden%[1]d@d%[1]d.example\n", d)
		for h := range 1 + c.n(2) {
			fmt.Fprintf(&zone, "d%[1]d.example. MX %[2]d mx%[3]d.d%[1]d.example.\nmx%[3]d.d%[1]d.example. A 198.51.100.%[4]d\n",
				d, 10+10*c.n(2), h, 10+d*10+h)
			fmt.Fprintf(&mx, "host 198.51.100.%d\n", 10+d*10+h)
			s.plan(c, d, &mx)
		}
	}
	return fmt.Appendf(nil, "-- config.toml --\n[queue]\nretry = [\"1m\", \"5m\", \"20m\", \"1h\"]\nexpire = %q\ndelay_notice = \"2h\"\n-- directory --\n%s-- zone --\n%s-- mx --\n%s",
		simExpire, &dir, &zone, &mx)
}

// plan writes the rules of one other server.
func (s *simulation) plan(c *chance, domain int, mx *strings.Builder) {
	if c.one(4) {
		mx.WriteString("always rcpt hidden = 550 5.1.1 No such user here\n")
	}
	if c.one(6) {
		fmt.Fprintf(mx, "always content = 554 5.7.1 We do not like <hidden%[1]d@d%[1]d.example> and others\n", domain)
	}
	bad := map[string][]string{
		"connect": {"drop", "hang", "421 4.3.2 Too busy", "554 5.3.2 Closed for today"},
		"ehlo":    {"drop", "421 4.3.2 Closing", "451 4.3.0 Not now", "502 5.5.1 What?"},
		"mail":    {"drop", "hang", "451 4.3.0 Not now", "421 4.3.2 Closing"},
		"rcpt":    {"drop", "450 4.2.1 Greylisted", "452 4.2.2 Full", "421 4.3.2 Closing"},
		"data":    {"drop", "451 4.3.0 Not now", "hang"},
		"content": {"drop", "451 4.3.0 Not now", "hang", "452 4.3.1 Full", "421 4.3.2 Closing"},
	}
	for _, stage := range []string{"connect", "ehlo", "mail", "rcpt", "data", "content"} {
		var replies []string
		for range c.n(30) {
			r := "pass"
			if c.one(3) {
				r = bad[stage][c.n(len(bad[stage]))]
			}
			replies = append(replies, r)
		}
		if len(replies) > 0 {
			fmt.Fprintf(mx, "on %s = %s\n", stage, strings.Join(replies, " | "))
		}
	}
}

func simulate(t *testing.T, seed uint64) {
	s := &simulation{t: t, seed: seed}
	s.w = newWorld(t, txtar.Parse(s.script()), false)
	s.w.quiet = true
	names := s.w.zone.get()
	s.w.zone.set(moodyNames{names, newChance(seed, 2)})
	s.w.moods.Store(newChance(seed, 3))

	var clients sync.WaitGroup
	c := newChance(seed, 4)
	for i := range simSessions {
		wait := time.Duration(c.n(simHours*3600)) * time.Second
		clients.Go(func() {
			time.Sleep(wait)
			s.client(i)
		})
	}
	for range c.n(4) {
		time.Sleep(time.Duration(c.n(simHours*3600/4)) * time.Second)
		s.restart()
	}
	clients.Wait()
	time.Sleep(simSettles)
	synctest.Wait()
	s.check()
	s.w.stop()
}

// restart stops the server, with little patience, and starts another on the
// same folder.
func (s *simulation) restart() {
	s.serving.Lock()
	defer s.serving.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = s.w.server.Shutdown(ctx) // what does not end is cut off
	next, err := New(context.Background(), s.w.options())
	if err != nil {
		s.t.Fatalf("seed %d: start again: %v", s.seed, err)
	}
	s.w.server = next
	next.Start()
}

// client is one session: one or more messages, as a user or a stranger, over a
// network of moods. It gives up at the first trouble.
func (s *simulation) client(number int) {
	c := newChance(s.seed, 100+uint64(number))
	login := c.one(3)
	service := "mx"
	if login {
		service = "submissions"
	}
	s.serving.RLock()
	nc, err := s.w.connect(context.Background(), service)
	var trust *tls.Config
	if err == nil {
		trust = s.w.clientTLS()
	}
	s.serving.RUnlock()
	if err != nil {
		return
	}
	defer nc.Close()
	conn := c.connection(nc)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Minute))
	if login {
		conn = tls.Client(conn, trust)
	}
	k := &simClient{conn: conn, r: bufio.NewReader(conn)}
	from := []string{"bob@example.com", "forged@d0.example", ""}[c.n(3)]
	begin := []string{"EHLO client.example.com"}
	if login {
		from = "anna@example.org"
		secret := base64.StdEncoding.EncodeToString([]byte("\x00anna@example.org\x00bbbbbbbb-cccccccc-dddddddd-eeeeeeee-ffffffff"))
		begin = append(begin, "AUTH PLAIN "+secret)
	}
	if _, err := k.hear(); err != nil {
		return
	}
	for _, command := range begin {
		if code, err := k.say(command); err != nil || code >= 400 {
			return
		}
	}
	for n := range 1 + c.n(3) {
		if !s.message(k, c, fmt.Sprintf("token-%d-%d-%d", s.seed, number, n), from, login) {
			return
		}
		time.Sleep(time.Duration(c.n(60)) * time.Second)
	}
	_, _ = k.say("QUIT")
}

// message sends one message, and notes it if it was accepted.
func (s *simulation) message(k *simClient, c *chance, token, from string, login bool) bool {
	m := sent{token: token, from: from, login: login}
	if code, err := k.say("MAIL FROM:<" + from + ">"); err != nil || code != 250 {
		return false
	}
	for range 1 + c.n(4) {
		to := []string{"a%d@example.org", "h%d@example.org", "team@example.org", "box@example.org", "nobody%d@example.org"}[c.n(5)]
		if login && c.one(3) {
			to = []string{"x%d@d1.example", "x@dead.example", "x@null.example", "x@absent.example"}[c.n(4)]
		}
		to = strings.ReplaceAll(to, "%d", strconv.Itoa(c.n(simDomains)))
		code, err := k.say("RCPT TO:<" + to + ">")
		if err != nil {
			return false
		}
		if code < 300 && !slices.Contains(m.to, to) {
			m.to = append(m.to, to)
		}
	}
	if len(m.to) == 0 {
		_, err := k.say("RSET")
		return err == nil
	}
	if code, err := k.say("DATA"); err != nil || code != 354 {
		return false
	}
	size := c.n(40) * c.n(40) // lines; now and then more than stays in memory
	if c.one(15) {
		size = 3000
	}
	m.lines = size
	text := "Subject: " + token + "\r\n\r\n" + strings.Repeat("..0123456789 0123456789 0123456789 0123456789 0123456789\r\n", size) + "."
	code, err := k.say(text)
	if err != nil || code != 250 {
		return false
	}
	found := queuedAs.FindStringSubmatch(k.last)
	if found == nil {
		s.t.Errorf("seed %d: the reply %q has no queue id", s.seed, k.last)
		return false
	}
	if m.id, err = queue.ParseID(found[1]); err != nil {
		s.t.Errorf("seed %d: %v", s.seed, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = append(s.accepted, m)
	return true
}

var queuedAs = regexp.MustCompile(`queued as ([0-9a-z]{12})$`)

// simClient speaks SMTP by the line.
type simClient struct {
	conn io.ReadWriter
	r    *bufio.Reader
	last string // line of the last reply
}

func (k *simClient) say(command string) (int, error) {
	if _, err := io.WriteString(k.conn, command+"\r\n"); err != nil {
		return 0, err
	}
	return k.hear()
}

func (k *simClient) hear() (int, error) {
	for {
		line, err := k.r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if len(line) > 3 && line[3] == ' ' {
			k.last = strings.TrimRight(line, "\r\n")
			return strconv.Atoi(line[:3])
		}
	}
}

// check holds what was promised against what has become of the mail.
func (s *simulation) check() {
	rows := map[queue.ID][]queue.Listed{}
	for _, l := range s.w.recipients() {
		id := l.Message.ID
		rows[id] = append(rows[id], l)
		if !l.Recipient.State.Terminal() {
			s.fail(l, "it is not at its end")
		}
		if l.Message.From.IsZero() && l.Recipient.State == queue.Reported {
			s.fail(l, "a report about a report")
		}
	}
	states := map[queue.State]int{}
	for _, m := range s.accepted {
		found := rows[m.id]
		for _, to := range m.to {
			if !slices.ContainsFunc(found, func(l queue.Listed) bool { return l.Recipient.Address.String() == to }) {
				s.t.Errorf("seed %d: %s for %s was accepted and is lost", s.seed, m.id, to)
			}
		}
		for _, l := range found {
			states[l.Recipient.State]++
			s.one(m, l)
		}
		s.once(m.id, len(found))
	}
	if len(s.accepted) == 0 || states[queue.Delivered] == 0 {
		s.t.Errorf("seed %d: %d messages were accepted and %v: the plan is too hard to prove anything", s.seed, len(s.accepted), states)
	}
	s.t.Logf("seed %d: %d messages accepted, their recipients are %v", s.seed, len(s.accepted), states)
}

func (s *simulation) fail(l queue.Listed, why string) {
	s.t.Helper()
	r := l.Recipient
	s.t.Errorf("seed %d: %s from %s for %s → %s is %s: %s; last outcome %+v", s.seed, r.ID, l.Message.From.Path(), r.Address, r.Target, r.State, why, r.Last)
}

// one looks at one recipient of an accepted message.
func (s *simulation) one(m sent, l queue.Listed) {
	r := l.Recipient
	switch r.State {
	case queue.Delivered:
		if !s.arrived(m, r) {
			s.fail(l, "nobody has received it whole")
		}
		return
	case queue.Reported, queue.Suppressed:
	default:
		s.fail(l, "that is no end for mail that nobody touched")
		return
	}
	o := r.Last
	switch {
	case o == nil:
		s.fail(l, "there is no outcome")
	case o.Cause == "expired", o.Cause == "null_mx", o.Cause == "domain_not_found":
	case o.Heard.Code/100 != 5 || o.Command == "connect" || o.Command == "EHLO":
		s.fail(l, "that is no reason to give up")
	}
	switch {
	case m.login && r.State != queue.Reported:
		s.fail(l, "the user was not told")
	case m.login:
		s.told(m, l)
	case m.from != "bob@example.com" && r.State != queue.Suppressed:
		s.fail(l, "a stranger who may be anybody was told")
	}
}

// arrived looks for the message where it is said to be, with all its lines.
func (s *simulation) arrived(m sent, r *queue.Recipient) bool {
	full := func(content []byte) bool {
		content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")) // as in a Maildir
		return bytes.Contains(content, []byte("Subject: "+m.token+"\n")) && bytes.Count(content, []byte("\n.0123456789 ")) == m.lines
	}
	if r.Destination == queue.Maildir {
		box := r.Target.Domain.String() + "/" + r.Target.Local
		return slices.ContainsFunc(s.mailboxes()[box], func(c string) bool { return full([]byte(c)) })
	}
	for _, h := range s.w.hosts {
		for _, got := range h.Received() {
			if slices.Contains(got.To, r.Target.String()) && got.From == m.from && full(got.Content) {
				return true
			}
		}
	}
	return false
}

// mailboxes reads the Maildirs, once.
func (s *simulation) mailboxes() map[string][]string {
	if s.boxes == nil {
		s.boxes = s.w.maildirs()
	}
	return s.boxes
}

// told looks for the report in the mailbox of the user, and for what it must
// not have.
func (s *simulation) told(m sent, l queue.Listed) {
	for _, report := range s.mailboxes()["example.org/anna"] {
		if !strings.Contains(report, "Final-Log-ID: "+m.id.String()) || !strings.Contains(report, "Action: failed") {
			continue
		}
		if l.Recipient.Hidden && strings.Contains(report, l.Recipient.Target.String()) {
			s.fail(l, "the report names the hidden target:\n"+report)
		}
		final := l.Recipient.Address
		if !l.Recipient.Hidden {
			final = l.Recipient.Target
		}
		if strings.Contains(report, "Final-Recipient: rfc822; "+final.String()) {
			return
		}
	}
	s.fail(l, "the report has not arrived")
}

// once sees to it that each recipient ended once in the log.
func (s *simulation) once(id queue.ID, recipients int) {
	log, err := s.w.server.Queue().Log(context.Background(), queue.LogFilter{Message: id, Limit: 10_000})
	if err != nil {
		s.t.Fatal(err)
	}
	ends := map[int]int{}
	for _, row := range log {
		if row.Outcome != nil && row.State.Terminal() {
			ends[row.N]++
		}
	}
	for n := 1; n <= recipients; n++ {
		if ends[n] != 1 {
			s.t.Errorf("seed %d: by the log %s/%d ended %d times", s.seed, id, n, ends[n])
		}
	}
}
