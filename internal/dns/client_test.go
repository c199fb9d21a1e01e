package dns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"
)

// fake is a client whose servers are a function; it counts what is asked.
func fake(t testing.TB, o Options, answer func(ctx context.Context, address string, q *miekg.Msg) (*miekg.Msg, error)) (*Client, *atomic.Int32) {
	t.Helper()
	if o.Servers == nil {
		o.Servers = []string{"127.0.0.1"}
	}
	c, asked := client(t, o), new(atomic.Int32)
	c.exchange = func(ctx context.Context, address string, q *miekg.Msg) (*miekg.Msg, error) {
		asked.Add(1)
		return answer(ctx, address, q)
	}
	return c, asked
}

func replyWith(t testing.TB, q *miekg.Msg, ttl int) *miekg.Msg {
	m := new(miekg.Msg).SetReply(q)
	m.AuthenticatedData = true
	m.Answer = rr(t, fmt.Sprintf("%s %d IN TXT yes", q.Question[0].Name, ttl))
	return m
}

// TestCacheExpiry: each kind of answer is kept for its time and not longer.
func TestCacheExpiry(t *testing.T) {
	soa := func(ttl int) func(*miekg.Msg) {
		return func(m *miekg.Msg) {
			m.Answer, m.Ns = nil, rr(t, fmt.Sprintf("example. %d IN SOA ns. host. 1 2 3 4 %d", ttl, ttl))
		}
	}
	for name, c := range map[string]struct {
		keep   time.Duration
		change func(*miekg.Msg)
	}{
		"as stated":       {100 * time.Second, func(*miekg.Msg) {}},
		"zero":            {minTTL, func(m *miekg.Msg) { m.Answer[0].Header().Ttl = 0 }},
		"very long":       {maxTTL, func(m *miekg.Msg) { m.Answer[0].Header().Ttl = 1 << 30 }},
		"no data":         {60 * time.Second, soa(60)},
		"no data, long":   {maxNegativeTTL, soa(1 << 20)},
		"no data, no SOA": {minTTL, func(m *miekg.Msg) { m.Answer = nil }},
		"no name":         {60 * time.Second, func(m *miekg.Msg) { soa(60)(m); m.Rcode = miekg.RcodeNameError }},
		"failure":         {failureTTL, func(m *miekg.Msg) { m.Rcode, m.Answer = miekg.RcodeServerFailure, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl, asked := fake(t, Options{}, func(_ context.Context, _ string, q *miekg.Msg) (*miekg.Msg, error) {
					m := replyWith(t, q, 100)
					c.change(m)
					return m, nil
				})
				ask := func(n int32) {
					t.Helper()
					if a, err := cl.TXT(t.Context(), "a.example"); err == nil && a.TTL > c.keep {
						t.Errorf("TTL %v", a.TTL)
					}
					if asked.Load() != n {
						t.Errorf("asked %d times, want %d", asked.Load(), n)
					}
				}
				ask(1)
				<-time.After(c.keep - time.Millisecond)
				ask(1)
				<-time.After(time.Millisecond)
				ask(2)
				cl.Flush()
				ask(3)
			})
		})
	}
}

// TestSilence: a server that says nothing is asked Tries times, each for TryTimeout, and the failure is remembered.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, asked := fake(t, Options{}, func(ctx context.Context, _ string, _ *miekg.Msg) (*miekg.Msg, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		start := time.Now()
		_, err := c.MX(t.Context(), "a.example")
		wantKind(t, "silence", err, Timeout)
		if d := time.Since(start); d != DefaultTries*DefaultTryTimeout || asked.Load() != DefaultTries {
			t.Errorf("gave up after %v and %d tries", d, asked.Load())
		}
		if _, err = c.MX(t.Context(), "a.example"); time.Since(start) != DefaultTries*DefaultTryTimeout {
			t.Errorf("the failure was not remembered: %v", err)
		}
	})
}

// TestFailuresOfServers: all that is not an answer is tried at the next server, and a server that cannot is asked once.
func TestFailuresOfServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		c, _ := fake(t, Options{Servers: []string{"192.0.2.1", "192.0.2.2"}, Tries: 5}, func(_ context.Context, address string, q *miekg.Msg) (*miekg.Msg, error) {
			order = append(order, address)
			if address == "192.0.2.1:53" {
				return new(miekg.Msg).SetRcode(q, miekg.RcodeServerFailure), nil
			}
			return nil, errors.New("no route to host")
		})
		_, err := c.TXT(t.Context(), "a.example")
		wantKind(t, "no server", err, ServerFailure)
		if got := strings.Join(order, " "); got != "192.0.2.1:53 192.0.2.2:53 192.0.2.2:53 192.0.2.2:53 192.0.2.2:53" {
			t.Errorf("asked %s", got)
		}
		if !strings.Contains(err.Error(), "no route to host from 192.0.2.2:53") {
			t.Errorf("the error hides its cause: %v", err)
		}
	})
}

// TestOneFlight: many who ask the same at once make one question; one who gives up does not spoil it for the others; when
// all have given up it is dropped and not remembered.
func TestOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, asked := fake(t, Options{}, func(ctx context.Context, _ string, q *miekg.Msg) (*miekg.Msg, error) {
			select {
			case <-time.After(time.Second):
				return replyWith(t, q, 100), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		var wg sync.WaitGroup
		impatient, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		for i := range 20 {
			wg.Go(func() {
				if i%2 == 0 {
					_, err := c.TXT(impatient, "a.example")
					wantKind(t, "impatient", err, Timeout)
					return
				}
				a, err := c.TXT(t.Context(), "a.example")
				want(t, "patient", a, err, true, "yes")
			})
		}
		wg.Wait()
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}

		soon, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := c.TXT(soon, "b.example")
		wantKind(t, "all gave up", err, Timeout)
		synctest.Wait()
		if len(c.flights) != 0 || len(c.turn) != 0 {
			t.Errorf("%d questions are waited for, %d with the servers, though all gave up", len(c.flights), len(c.turn))
		}
		a, err := c.TXT(t.Context(), "b.example")
		want(t, "asked again", a, err, true, "yes")
		if asked.Load() != 3 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}

// TestBounds: however much is asked, the cache and the questions on their way keep to their limits.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		c, _ := fake(t, Options{CacheEntries: 50}, func(_ context.Context, _ string, q *miekg.Msg) (*miekg.Msg, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-time.After(time.Millisecond)
			now.Add(-1)
			return replyWith(t, q, 100), nil
		})
		var wg sync.WaitGroup
		for i := range 2 * maxInFlight {
			wg.Go(func() {
				a, err := c.TXT(t.Context(), fmt.Sprintf("n%d.example", i))
				want(t, "answer", a, err, true, "yes")
			})
		}
		wg.Wait()
		if most.Load() > maxInFlight || len(c.cache.entries) != 50 || len(c.flights) != 0 {
			t.Errorf("%d at one time, %d kept, %d left over", most.Load(), len(c.cache.entries), len(c.flights))
		}
		<-time.After(time.Hour)
		for i := range 10 {
			_, _ = c.TXT(t.Context(), fmt.Sprintf("new%d.example", i))
		}
		if len(c.cache.entries) > 50-evictionSample+10 {
			t.Errorf("%d kept: what is over was not given up first", len(c.cache.entries))
		}
	})
}

// TestTooLargeToKeep: an answer that would fill the cache is given, and not kept.
func TestTooLargeToKeep(t *testing.T) {
	c, asked := fake(t, Options{}, func(_ context.Context, _ string, q *miekg.Msg) (*miekg.Msg, error) {
		m := replyWith(t, q, 100)
		m.Answer = slices.Repeat(rr(t, q.Question[0].Name+" IN TXT "+strings.Repeat("x", 255)), 20)
		return m, nil
	})
	for range 2 {
		if a, err := c.TXT(t.Context(), "a.example"); err != nil || len(a.Records) != 20 {
			t.Fatalf("%d records, %v", len(a.Records), err)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// TestTrust: AD counts only from a server that is trusted, and only if every step has it.
func TestTrust(t *testing.T) {
	for _, c := range []struct {
		server  string
		trust   bool
		name    string
		trusted bool
	}{
		{"127.0.0.1", false, "a.example", true},
		{"::1", false, "a.example", true},
		{"192.0.2.1", false, "a.example", false},
		{"192.0.2.1", true, "a.example", true},
		{"192.0.2.1", true, "plain.example", false},
		{"192.0.2.1", true, "alias.example", false},
	} {
		cl, _ := fake(t, Options{Servers: []string{c.server}, TrustAD: c.trust}, func(_ context.Context, _ string, q *miekg.Msg) (*miekg.Msg, error) {
			m := replyWith(t, q, 100)
			switch q.Question[0].Name {
			case "plain.example.":
				m.AuthenticatedData = false
			case "alias.example.":
				m.Answer = rr(t, "alias.example. IN CNAME plain.example.")
			}
			return m, nil
		})
		a, err := cl.TXT(t.Context(), c.name)
		want(t, fmt.Sprint(c), a, err, c.trusted, "yes")
	}
}

// TestAddressesOfTwoKinds walks what can become of the two questions.
func TestAddressesOfTwoKinds(t *testing.T) {
	kinds := map[string]func(*miekg.Msg, miekg.RR){
		"found":  func(m *miekg.Msg, r miekg.RR) { m.Answer = []miekg.RR{r} },
		"none":   func(*miekg.Msg, miekg.RR) {},
		"gone":   func(m *miekg.Msg, _ miekg.RR) { m.Rcode = miekg.RcodeNameError },
		"failed": func(m *miekg.Msg, _ miekg.RR) { m.Rcode = miekg.RcodeServerFailure },
	}
	for pair, outcome := range map[string]string{
		"found found": "4 6", "found none": "4", "found gone": "4", "found failed": "4", "none found": "6", "gone found": "6", "failed found": "6",
		"none none": "", "none gone": "", "gone none": "", "gone gone": "not found",
		"none failed": "temporary", "failed none": "temporary", "gone failed": "temporary", "failed gone": "temporary", "failed failed": "temporary",
	} {
		a, aaaa, _ := strings.Cut(pair, " ")
		c, _ := fake(t, Options{}, func(_ context.Context, _ string, q *miekg.Msg) (*miekg.Msg, error) {
			m := new(miekg.Msg).SetReply(q)
			if q.Question[0].Qtype == miekg.TypeA {
				kinds[a](m, rr(t, "h.example. IN A 192.0.2.1")[0])
			} else {
				kinds[aaaa](m, rr(t, "h.example. IN AAAA 2001:db8::1")[0])
			}
			return m, nil
		})
		got := ""
		switch answer, err := c.Addresses(t.Context(), "h.example"); {
		case IsNotFound(err):
			got = "not found"
		case err != nil:
			got = "temporary"
		default:
			for _, addr := range answer.Records {
				got += map[bool]string{true: " 4", false: " 6"}[addr.Is4()]
			}
			got = strings.TrimSpace(got)
		}
		if got != outcome {
			t.Errorf("%s: %q, want %q", pair, got, outcome)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, servers := range [][]string{nil, {"localhost"}, {"127.0.0.1:0"}, {"127.0.0.1:dns"}, {"127.0.0.1", ""}} {
		if _, err := NewClient(Options{Servers: servers}); err == nil {
			t.Errorf("%q was taken", servers)
		}
	}
	c := client(t, Options{Servers: []string{"127.0.0.1", "::1", "[::1]:5353", "192.0.2.1:54"}})
	for i, address := range []string{"127.0.0.1:53", "[::1]:53", "[::1]:5353", "192.0.2.1:54"} {
		if c.servers[i].address != address {
			t.Errorf("%q", c.servers[i].address)
		}
	}
}

func TestParseResolvConf(t *testing.T) {
	servers, trust := ParseResolvConf([]byte("# c\nsearch a b\nnameserver 192.0.2.1\nnameserver\nnameserver x\n" +
		"nameserver\t2001:db8::1 # c\noptions edns0 trust-ad\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"))
	if !slices.Equal(servers, []string{"192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"}) || !trust {
		t.Errorf("%q, %v", servers, trust)
	}
	if servers, trust = ParseResolvConf(nil); !slices.Equal(servers, []string{"127.0.0.1:53"}) || trust {
		t.Errorf("%q, %v", servers, trust)
	}
}

// BenchmarkCached is the cost of an answer that is known: what a forward of one message pays several times.
func BenchmarkCached(b *testing.B) {
	c, _ := fake(b, Options{}, func(_ context.Context, _ string, q *miekg.Msg) (*miekg.Msg, error) { return replyWith(b, q, 3600), nil })
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.TXT(ctx, "example.net"); err != nil {
			b.Fatal(err)
		}
	}
}
