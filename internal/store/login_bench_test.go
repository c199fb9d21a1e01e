package store

import (
	"context"
	"crypto/rand"
	"strconv"
	"testing"

	"github.com/onwardmail/onward/internal/account"
)

// BenchmarkLogin is a whole login by PLAIN with an app password, without TLS: the
// exchange, the look-up among 1,000 accounts, the check, and the note of its use.
func BenchmarkLogin(b *testing.B) {
	d, err := OpenDirectory(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	key := make([]byte, 32)
	ctx := context.Background()
	var secret string
	for i := range 1000 {
		login := "user" + strconv.Itoa(i) + "@example.org"
		if err := d.AddAccount(ctx, account.Account{Login: login, Created: start()}); err != nil {
			b.Fatal(err)
		}
		text, id, err := account.NewAppPassword(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		mac, err := account.AppPasswordMAC(key, text)
		if err != nil {
			b.Fatal(err)
		}
		one := account.Key{Stored: []byte("stored"), Server: []byte("server")} // so that nothing is kept anew
		if err := d.AddAppPassword(ctx, account.AppPassword{
			ID: id, Login: login, Name: "phone", MAC: mac, Created: start(), Keys: account.Keys{SHA256: one},
		}); err != nil {
			b.Fatal(err)
		}
		secret = text
	}
	c := account.NewChecker(d, key, 0, account.NewGuesses(account.GuessOptions{Delay: 5, Ban: 20}), account.Policy{})
	response := []byte("\x00user999@example.org\x00" + secret)
	client := account.Client{TLS: "TLS1.3", Service: "submission", Helo: "phone"}
	b.ReportAllocs()
	for b.Loop() {
		e, _ := c.Begin(ctx, "PLAIN", client, start())
		if a := e.Next(ctx, response, start()); a.Result.Login == "" {
			b.Fatal(a.Result)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}

// BenchmarkSecrets is the look-up of SCRAM, for a name that no account has and for
// accounts with so many app passwords: what scramPause of package account hides.
func BenchmarkSecrets(b *testing.B) {
	d, err := OpenDirectory(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	ctx := context.Background()
	one := account.Keys{SHA256: account.Key{Stored: make([]byte, 32), Server: make([]byte, 32)}}
	for _, n := range []int{0, 10, 64} {
		login := strconv.Itoa(n) + "@example.org"
		if err := d.AddAccount(ctx, account.Account{Login: login, Created: start(), Salt: make([]byte, 16), Iterations: 4096, Keys: one}); err != nil {
			b.Fatal(err)
		}
		for i := range n {
			p := account.AppPassword{ID: strconv.Itoa(n*100 + i), Login: login, Name: "phone " + strconv.Itoa(i), MAC: make([]byte, 32), Created: start(), Keys: one}
			if err := d.AddAppPassword(ctx, p); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, name := range []string{"unknown", "0", "10", "64"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := d.Secrets(ctx, name+"@example.org"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
