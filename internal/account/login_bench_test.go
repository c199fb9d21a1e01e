package account

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

// BenchmarkScramLogin is a whole SCRAM-SHA-256 login by an app password as the
// server sees it; what the client computes is not counted.
func BenchmarkScramLogin(b *testing.B) {
	d, apps := newDirectory(&testing.T{})
	salted(&testing.T{}, d, apps)
	c := newChecker(d, 0)
	c.scramPause = 0 // it costs time and no work
	client, err := scram.SHA256.NewClient("anna@example.org", apps["good"], "")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d.used = d.used[:0]
		e, _ := c.Begin(b.Context(), "SCRAM-SHA-256", Client{TLS: "TLS1.2"}, now)
		conv := client.NewConversation()
		first, _ := conv.Step("")
		a := e.Next(b.Context(), []byte(first), now)
		b.StopTimer()
		final, err := conv.Step(string(a.Challenge))
		b.StartTimer()
		if err != nil {
			b.Fatal(err)
		}
		if a = e.Next(b.Context(), []byte(final), now); !a.Done { // the server's proof, which is answered with nothing
			a = e.Next(b.Context(), []byte{}, now)
		}
		if a.Result.Cause != "" {
			b.Fatal(a.Result)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}

// BenchmarkCauses tries each cause in turn, and reports how far its median time is
// from that of a wrong password, and the effect size (Cohen's d): by PLAIN at a low
// cost of passwords, where differences would show most, and at the default one, and
// by SCRAM. It is no test: the machine has its part in what it shows. Causes are
// mixed, so that what the machine does meanwhile falls on all of them alike.
func BenchmarkCauses(b *testing.B) {
	low := Cost{Memory: 1024, Passes: 1, Threads: 1}
	b.Run("plain", func(b *testing.B) { benchCauses(b, low, byPlain) })
	b.Run("plain-default-cost", func(b *testing.B) { benchCauses(b, DefaultCost(), byPlain) })
	b.Run("scram", func(b *testing.B) { benchCauses(b, low, byScram) })
}

// benchCauses tries each cause b.N times. attempt makes one try and tells how long
// the server took for it.
func benchCauses(b *testing.B, cost Cost, attempt func(b *testing.B, c *Checker, login, secret string) (time.Duration, Cause)) {
	d, apps := newDirectory(&testing.T{})
	salted(&testing.T{}, d, apps)
	c := NewChecker(d, key, 0, nil, Policy{Secrets: SecretPolicy{Cost: cost, Iterations: 4096}})
	p := c.policy.Load()
	for _, a := range d.accounts {
		if a.Hash != "" {
			a.Hash = p.decoy // nobody's password, at today's cost
		}
	}
	tries := []*struct {
		name, login, secret string
		took                []float64 // microseconds
	}{
		{name: "wrong", login: "anna@example.org", secret: "wrong horse"},
		{name: "same", login: "anna@example.org", secret: "wrong horse"},
		{name: "unknown", login: "nina@example.org", secret: "wrong horse"},
		{name: "revoked", login: "anna@example.org", secret: apps["revoked"]},
		{name: "expired", login: "anna@example.org", secret: apps["expired"]},
	}
	causes := make(map[string]Cause)
	for b.Loop() {
		for _, i := range rand.Perm(len(tries)) {
			t := tries[i]
			took, cause := attempt(b, c, t.login, t.secret)
			t.took = append(t.took, float64(took.Nanoseconds())/1000)
			if before := causes[t.name]; cause == "" || before != "" && before != cause {
				b.Fatalf("%s: %s, and before %s", t.name, cause, before)
			}
			causes[t.name] = cause
			c.Settle(b.Context()) // what comes after the reply is not to fall on the next one
			d.failures = d.failures[:0]
		}
	}
	if causes["wrong"] == causes["unknown"] || causes["revoked"] != AppPasswordRevoked || causes["expired"] != AppPasswordExpired {
		b.Fatal(causes)
	}
	for _, t := range tries[1:] {
		difference, effect := apart(tries[0].took, t.took)
		b.ReportMetric(difference, "µs-"+t.name)
		b.ReportMetric(effect, "d-"+t.name)
	}
	b.ReportMetric(median(tries[0].took), "µs-wrong")
}

// byPlain is a try by PLAIN.
func byPlain(b *testing.B, c *Checker, login, secret string) (time.Duration, Cause) {
	e, _ := c.Begin(b.Context(), "PLAIN", overTLS(), now)
	response := []byte("\x00" + login + "\x00" + secret)
	begun := time.Now()
	r := e.Next(b.Context(), response, now).Result
	return time.Since(begun), r.Cause
}

// byScram is one by SCRAM-SHA-256; what the client computes is not in its time.
func byScram(b *testing.B, c *Checker, login, secret string) (time.Duration, Cause) {
	client, err := scram.SHA256.NewClient(login, secret, "")
	if err != nil {
		b.Fatal(err)
	}
	conv := client.NewConversation()
	first, _ := conv.Step("")
	e, _ := c.Begin(b.Context(), "SCRAM-SHA-256", Client{TLS: "TLS1.2"}, now)
	begun := time.Now()
	challenge := e.Next(b.Context(), []byte(first), now).Challenge
	took := time.Since(begun)
	final, err := conv.Step(string(challenge))
	if err != nil {
		b.Fatal(err)
	}
	begun = time.Now()
	a := e.Next(b.Context(), []byte(final), now)
	return took + time.Since(begun), a.Result.Cause
}

// apart returns the difference of the medians of two samples, and Cohen's d.
func apart(one, other []float64) (difference, effect float64) {
	m, v := moments(one)
	n, w := moments(other)
	if v+w > 0 {
		effect = (n - m) / math.Sqrt((v+w)/2)
	}
	return median(other) - median(one), effect
}

// moments are the mean and the variance.
func moments(sample []float64) (mean, variance float64) {
	for _, x := range sample {
		mean += x / float64(len(sample))
	}
	for _, x := range sample {
		variance += (x - mean) * (x - mean) / float64(max(len(sample)-1, 1))
	}
	return mean, variance
}

func median(sample []float64) float64 {
	s := slices.Sorted(slices.Values(sample))
	return s[len(s)/2]
}
