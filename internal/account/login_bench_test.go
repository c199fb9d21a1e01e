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
// from that of a wrong password, and the effect size (Cohen's d). It is no test:
// the machine has its part in what it shows. Causes are mixed, so that what the
// machine does meanwhile falls on all of them alike.
func BenchmarkCauses(b *testing.B) {
	d, apps := newDirectory(&testing.T{})
	c := NewChecker(d, key, 0, nil, Policy{Secrets: SecretPolicy{Cost: Cost{Memory: 1024, Passes: 1, Threads: 1}}})
	p := c.policy.Load()
	for _, a := range d.accounts {
		if a.Hash != "" {
			a.Hash = p.decoy // nobody's password, at today's cost
		}
	}
	type try struct {
		name, login, secret string
		want                Cause
		took                []float64 // microseconds
	}
	tries := []*try{
		{name: "wrong", login: "anna@example.org", secret: "wrong horse", want: WrongPassword},
		{name: "same", login: "anna@example.org", secret: "wrong horse", want: WrongPassword},
		{name: "unknown", login: "nina@example.org", secret: "wrong horse", want: UnknownUser},
		{name: "revoked", login: "anna@example.org", secret: apps["revoked"], want: AppPasswordRevoked},
		{name: "expired", login: "anna@example.org", secret: apps["expired"], want: AppPasswordExpired},
	}
	for b.Loop() {
		for _, i := range rand.Perm(len(tries)) {
			t := tries[i]
			e, _ := c.Begin(b.Context(), "PLAIN", overTLS(), now)
			response := []byte("\x00" + t.login + "\x00" + t.secret)
			begun := time.Now()
			r := e.Next(b.Context(), response, now).Result
			t.took = append(t.took, float64(time.Since(begun).Nanoseconds())/1000)
			if r.Cause != t.want {
				b.Fatalf("%s: %+v", t.name, r)
			}
			c.Settle(b.Context()) // what comes after the reply is not to fall on the next one
		}
	}
	for _, t := range tries[1:] {
		difference, effect := apart(tries[0].took, t.took)
		b.ReportMetric(difference, "µs-"+t.name)
		b.ReportMetric(effect, "d-"+t.name)
	}
	b.ReportMetric(median(tries[0].took), "µs-wrong")
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
