package sasl

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	xdg "github.com/xdg-go/scram"
	"pgregory.net/rapid"
)

// The client here is that of xdg-go/scram.

func nonce() string { return "3rfcNHYJY1ZVvWVs7j" }

// account is what belongs to a name in these tests.
type account struct{ keys Keys }

// accountWith has a key for each password.
func accountWith(t testing.TB, hash Hash, passwords ...string) account {
	t.Helper()
	a := account{Keys{Salt: []byte("sixteen octets.!"), Iterations: MinIterations}}
	for _, p := range passwords {
		key, err := SaltedKeys(hash, p, a.keys.Salt, a.keys.Iterations)
		if err != nil {
			t.Fatal(err)
		}
		a.keys.Candidates = append(a.keys.Candidates, key)
	}
	return a
}

func xdgHash(hash Hash) xdg.HashGeneratorFcn {
	if hash == SHA1 {
		return xdg.SHA1
	}
	return xdg.SHA256
}

func xdgClient(t testing.TB, hash Hash, name, password, authzid string) *xdg.Client {
	t.Helper()
	client, err := xdgHash(hash).NewClientUnprepped(name, normalize(password), authzid)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// withClient lets the client in if its proof is right, and returns how it ended
// and whether the client believes that it speaks with somebody who knows its key.
func (a account) withClient(m Mechanism, client *xdg.ClientConversation) (Do, bool) {
	first, err := client.Step("")
	if err != nil {
		panic(err)
	}
	turn := m.Start([]byte(first))
	for {
		switch turn.Do {
		case LookUp:
			turn = m.Found(a.keys)
		case Check:
			turn = m.Judged(m.Credentials().Key >= 0, Judgement{})
		case Respond:
			answer, err := client.Step(string(turn.Challenge))
			if err != nil {
				return turn.Do, false
			}
			turn = m.Next([]byte(answer))
		default:
			return turn.Do, client.Valid()
		}
	}
}

// tlsChannel has a binding of either type.
func tlsChannel(plus bool) Channel {
	return Channel{Binding: func(kind string) []byte { return []byte("binding of " + kind) }, Plus: plus, Nonce: nonce}
}

func TestScramClient(t *testing.T) {
	conversation := func(bind string) func(*xdg.Client) *xdg.ClientConversation {
		return func(c *xdg.Client) *xdg.ClientConversation {
			switch bind {
			case "n":
				return c.NewConversation()
			case "y":
				return c.NewConversationAdvertisingChannelBinding()
			}
			return c.NewConversationWithChannelBinding(xdg.ChannelBinding{Type: xdg.ChannelBindingType(bind), Data: []byte("binding of " + bind)})
		}
	}
	for _, hash := range []Hash{SHA256, SHA1} {
		name := map[Hash]string{SHA256: "SCRAM-SHA-256", SHA1: "SCRAM-SHA-1"}[hash]
		tests := []struct {
			suffix, bind string
			plus         bool // offered
			want         Do
			oddity       Oddity
		}{
			{"", "n", false, Accept, ""},
			{"", "n", true, Accept, ""}, // knows no channel binding
			{"", "y", false, Accept, ""},
			{"", "y", true, Reject, BindingHidden},
			{"", TLSExporter, true, Malformed, ""},
			{"-PLUS", TLSExporter, true, Accept, ""},
			{"-PLUS", TLSServerEndPoint, true, Accept, ""},
			{"-PLUS", "tls-unique", true, Malformed, BindingDiffers},
			{"-PLUS", "tls-moon", true, Malformed, BindingDiffers},
			{"-PLUS", "n", true, Malformed, ""},
			{"-PLUS", "y", true, Malformed, ""},
		}
		a := accountWith(t, hash, "pen", "pencil", "crayon")
		for _, tt := range tests {
			t.Run(name+tt.suffix+" "+tt.bind+fmt.Sprint(tt.plus), func(t *testing.T) {
				m := mechanism(t, name+tt.suffix, tlsChannel(tt.plus))
				said, valid := a.withClient(m, conversation(tt.bind)(xdgClient(t, hash, "user,=x", "pencil", "bob=,")))
				got := m.Credentials()
				if said != tt.want || valid != (tt.want == Accept) || got.Oddity != tt.oddity {
					t.Fatalf("%v, valid %v, %+v", said, valid, got)
				}
				if said != Malformed && (got.Login != "user,=x" || got.Authorize != "bob=,") {
					t.Errorf("credentials %+v", got)
				}
				if (got.Key == 1) != (said == Accept) {
					t.Errorf("key %d", got.Key)
				}
			})
		}
	}
}

// TestScramAnyKey: of whatever secrets an account has, each lets in, and is the
// one that is named; no other does.
func TestScramAnyKey(t *testing.T) {
	passwords := []string{"pen", "pencil", "crayon", "gehe im", "ju\u0308rgen", "secret🦉"}
	full := accountWith(t, SHA256, passwords...)
	rapid.Check(t, func(rt *rapid.T) {
		order := rapid.Permutation([]int{0, 1, 2, 3, 4, 5}).Draw(rt, "order")
		order = order[:rapid.IntRange(0, len(order)).Draw(rt, "keys")]
		order = append(order, order[:rapid.IntRange(0, len(order)).Draw(rt, "twice")]...)
		a := account{Keys{Salt: full.keys.Salt, Iterations: full.keys.Iterations}}
		for _, i := range order {
			a.keys.Candidates = append(a.keys.Candidates, full.keys.Candidates[i])
		}
		given := rapid.IntRange(0, len(passwords)-1).Draw(rt, "given")
		m := mechanism(t, "SCRAM-SHA-256", tlsChannel(false))
		said, valid := a.withClient(m, xdgClient(t, SHA256, "anna", passwords[given], "").NewConversation())
		want := slices.Index(order, given) // the first, of two that are the same
		if got := m.Credentials().Key; got != want || (said == Accept) != (want >= 0) || valid != (want >= 0) {
			rt.Fatalf("%v, valid %v, key %d, want %d", said, valid, got, want)
		}
	})
}

// TestScramSameWork: whatever makes it fail, a client sees the same turns with
// challenges of the same form, and the hash operations are as many.
func TestScramSameWork(t *testing.T) {
	const candidates = 64
	right := accountWith(t, SHA256, "pencil")
	fill := func(k []Key) Keys {
		keys := Keys{Salt: right.keys.Salt, Iterations: right.keys.Iterations, Candidates: slices.Clone(k)}
		for i := len(k); i < candidates; i++ {
			keys.Candidates = append(keys.Candidates, Key{Stored: bytes.Repeat([]byte{byte(i)}, 32), Server: make([]byte, 32)})
		}
		return keys
	}
	first := "n,,n=anna,r=client"
	proof := func(binding string, k Keys) string {
		return string(clientFinalFor(SHA256, "pencil", k, "n=anna,r=client",
			"r=client"+nonce()+",s=c2l4dGVlbiBvY3RldHMuIQ==,i=4096", []byte(binding)))
	}
	known := fill(right.keys.Candidates)
	replaced := func(old, new string) string { return strings.Replace(proof("n,,", known), old, new, 1) }
	tests := []struct {
		name, first, final string
		keys               Keys
		judged             bool
		oddity             Oddity
	}{
		{"unknown name", first, proof("n,,", known), fill(nil), true, ""},
		{"wrong secret", first, replaced("p=", "p=AA")[:len(replaced("p=", "p="))-4] + "AAA=", known, true, ""},
		{"right secret of a closed account", first, proof("n,,", known), known, false, ""},
		{"nonce not continued", first, replaced("r=client", "r=Client"), known, true, ""},
		{"no nonce of ours", first, replaced(nonce(), ""), known, true, ""},
		{"other binding", first, proof("n,a=x,", known), known, true, BindingDiffers},
		{"other flag", first, proof("y,,", known), known, true, BindingDiffers},
		{"hidden offer, other binding", "y,,n=anna,r=client", proof("n,,", known), known, true, BindingHidden},
		{"hidden offer", "y,,n=anna,r=client", proof("y,,", known), known, true, BindingHidden},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hashed := 0
			channel := tlsChannel(true)
			channel.Hashed = func() { hashed++ }
			w := world{channel: channel, keys: tt.keys, ok: func(Credentials) bool { return tt.judged }}
			m := mechanism(t, "SCRAM-SHA-256", channel)
			said := w.talk(m, []byte(tt.first), tt.final)
			if want := "LookUp [r=client" + nonce() + ",s=c2l4dGVlbiBvY3RldHMuIQ==,i=4096] Check Reject"; said != want {
				t.Errorf("said %s", said)
			}
			if got := m.Credentials().Oddity; got != tt.oddity {
				t.Errorf("the oddity is %q", got)
			}
			if hashed != 2*candidates {
				t.Errorf("%d hash operations, want %d", hashed, 2*candidates)
			}
		})
	}
	w := world{channel: tlsChannel(true), keys: known, ok: always}
	if said := w.talk(mechanism(t, "SCRAM-SHA-256", w.channel), []byte(first), proof("n,,", known), ""); !strings.HasSuffix(said, "] Accept") {
		t.Errorf("none of them was near to being right: %s", said)
	}
}

// BenchmarkScramProof is the step that tries a proof, of an account with so many
// keys.
func BenchmarkScramProof(b *testing.B) {
	for _, candidates := range []int{1, 32, 64} {
		b.Run(fmt.Sprint(candidates), func(b *testing.B) {
			keys := accountWith(b, SHA256, "pencil").keys
			for len(keys.Candidates) < candidates {
				keys.Candidates = append(keys.Candidates, keys.Candidates[0])
			}
			o, _ := Find("SCRAM-SHA-256")
			first := []byte("n,,n=anna@example.org,r=rOprNGfwEbeRWgbNEkqO")
			m := o.New(tlsChannel(false))
			m.Start(first)
			challenge := m.Found(keys).Challenge
			final := clientFinalFor(SHA256, "pencil", keys, string(first[3:]), string(challenge), []byte("n,,"))
			before, ok := m.(*scram)
			if !ok {
				b.Fatalf("%T", m)
			}
			b.ReportAllocs()
			for b.Loop() {
				now := *before
				if now.Next(final).Do != Check || now.got.Key != 0 {
					b.Fatal("the proof is wrong")
				}
			}
		})
	}
}
