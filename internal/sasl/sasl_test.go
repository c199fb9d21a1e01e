package sasl

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// world is what answers a mechanism in tests.
type world struct {
	channel Channel
	keys    Keys
	ok      func(Credentials) bool
	told    Judgement
}

// talk holds an exchange: initial, nil for none, then responses. The transcript
// has a word for each turn, with the challenge where there is one; it ends with
// the last turn, or with "…" where the client had nothing more to say.
func (w world) talk(m Mechanism, initial []byte, responses ...string) string {
	var said []string
	turn := m.Start(initial)
	for {
		said = append(said, turn.String())
		switch turn.Do {
		case LookUp:
			turn = m.Found(w.keys)
		case Check:
			turn = m.Judged(w.ok != nil && w.ok(m.Credentials()), w.told)
		case Respond:
			if len(responses) == 0 {
				return strings.Join(append(said, "…"), " ")
			}
			turn = m.Next([]byte(responses[0]))
			responses = responses[1:]
		default:
			return strings.Join(said, " ")
		}
	}
}

func (t Turn) String() string {
	if t.Do == Respond {
		return fmt.Sprintf("[%s]", t.Challenge)
	}
	return t.Do.String()
}

func always(Credentials) bool { return true }

func mechanism(t testing.TB, name string, c Channel) Mechanism {
	t.Helper()
	o, ok := Find(name)
	if !ok {
		t.Fatalf("no mechanism %s", name)
	}
	return o.New(c)
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOffers(t *testing.T) {
	var names []string
	for _, o := range Offers() {
		names = append(names, o.Name)
		got, ok := Find(strings.ToLower(o.Name))
		if !ok || got.Name != o.Name {
			t.Errorf("Find(%s) = %+v, %v", o.Name, got, ok)
		}
		if clear := !strings.HasPrefix(o.Name, "SCRAM") && o.Name != "EXTERNAL"; o.Clear != clear {
			t.Errorf("%s: Clear is %v", o.Name, o.Clear)
		}
		if o.Binding != strings.HasSuffix(o.Name, "-PLUS") {
			t.Errorf("%s: Binding is %v", o.Name, o.Binding)
		}
		m := o.New(Channel{})
		if m == o.New(Channel{}) {
			t.Errorf("%s: two exchanges are one", o.Name)
		}
		if got := m.Credentials(); got != (Credentials{Mechanism: o.Name, Key: -1}) {
			t.Errorf("%s begins with %+v", o.Name, got)
		}
	}
	want := []string{
		"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "EXTERNAL", "OAUTHBEARER",
		"XOAUTH2", "PLAIN", "LOGIN",
	}
	if !slices.Equal(names, want) {
		t.Errorf("the offers are %v", names)
	}
	for _, name := range []string{"", "CRAM-MD5", "SCRAM-SHA-512", "PLAIN "} {
		if _, ok := Find(name); ok {
			t.Errorf("%q is found", name)
		}
	}
}

// exchangeTest is one row of the tables of the simple mechanisms.
type exchangeTest struct {
	name      string
	initial   []byte
	responses []string
	said      string
	want      Credentials // without Mechanism and Key
}

func runExchanges(t *testing.T, name string, w world, tests []exchangeTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := mechanism(t, name, w.channel)
			if said := w.talk(m, tt.initial, tt.responses...); said != tt.said {
				t.Errorf("said %q, want %q", said, tt.said)
			}
			tt.want.Mechanism, tt.want.Key = name, -1
			if m.Credentials() != tt.want {
				t.Errorf("credentials %+v, want %+v", m.Credentials(), tt.want)
			}
		})
	}
}

// TestEveryStage walks every mechanism to every stage and gives it every event
// there: none panics, one out of turn ends the exchange as Malformed and nothing
// revives it, and Accept comes of nothing but what leads to it.
func TestEveryStage(t *testing.T) {
	key, err := SaltedKeys(SHA256, "pencil", []byte("saltsalt"), MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{Salt: []byte("saltsalt"), Iterations: MinIterations, Candidates: []Key{key}}
	channel := Channel{
		Binding: func(string) []byte { return []byte("binding") },
		Nonce:   func() string { return "server" },
	}
	messages := map[string]string{
		"PLAIN": "\x00anna\x00secret", "LOGIN": "anna", "EXTERNAL": "anna",
		"OAUTHBEARER": "n,,\x01auth=Bearer x\x01\x01", "XOAUTH2": "auth=Bearer x\x01\x01",
		"SCRAM-SHA-256": "n,,n=anna,r=client", "SCRAM-SHA-256-PLUS": "p=tls-exporter,,n=anna,r=client",
	}
	events := map[string]func(Mechanism) Turn{
		"Start nil":    func(m Mechanism) Turn { return m.Start(nil) },
		"Start":        func(m Mechanism) Turn { return m.Start([]byte("x")) },
		"Next":         func(m Mechanism) Turn { return m.Next([]byte("x")) },
		"Next message": func(m Mechanism) Turn { return m.Next([]byte(messages[m.Credentials().Mechanism])) },
		"Next empty":   func(m Mechanism) Turn { return m.Next(nil) },
		"Found":        func(m Mechanism) Turn { return m.Found(keys) },
		"Found none":   func(m Mechanism) Turn { return m.Found(Keys{}) },
		"Judged right": func(m Mechanism) Turn { return m.Judged(true, Judgement{}) },
		"Judged wrong": func(m Mechanism) Turn { return m.Judged(false, Judgement{}) },
	}
	// The event that is due at a stage, by its first word.
	due := map[stage]string{
		fresh: "Start", asked: "Next", named: "Next", looking: "Found", proving: "Next",
		checking: "Judged", refusing: "Next", proved: "Next", over: "nothing",
	}
	seen := map[stage]bool{}
	for name, path := range paths() {
		for steps := range len(path) + 1 {
			for event, do := range events {
				m := mechanism(t, name, channel)
				for _, step := range path[:steps] {
					step(m, keys)
				}
				at := stageOf(t, m)
				seen[at] = true
				turn := do(m)
				if strings.HasPrefix(event, due[at]) {
					if turn.Do == Accept && event != "Judged right" && event != "Next empty" {
						t.Errorf("%s at %d: %s is accepted", name, at, event)
					}
					continue
				}
				if turn.Do != Malformed {
					t.Errorf("%s at %d: %s gives %v", name, at, event, turn)
				}
				for again, do := range events {
					if turn := do(m); turn.Do != Malformed {
						t.Errorf("%s at %d: %s after %s gives %v", name, at, again, event, turn)
					}
				}
			}
		}
	}
	for s := range over + 1 {
		if !seen[s] {
			t.Errorf("no path leads to stage %d", s)
		}
	}
}

// paths are steps that lead through all stages of each mechanism.
func paths() map[string][]func(Mechanism, Keys) {
	start := func(s string) func(Mechanism, Keys) {
		return func(m Mechanism, _ Keys) { m.Start([]byte(s)) }
	}
	ask := func(m Mechanism, _ Keys) { m.Start(nil) }
	next := func(s string) func(Mechanism, Keys) { return func(m Mechanism, _ Keys) { m.Next([]byte(s)) } }
	judge := func(ok bool) func(Mechanism, Keys) {
		return func(m Mechanism, _ Keys) { m.Judged(ok, Judgement{}) }
	}
	found := func(m Mechanism, k Keys) { m.Found(k) }
	prove := func(m Mechanism, k Keys) {
		s, ok := m.(*scram)
		if !ok {
			panic("no scram")
		}
		m.Next(clientFinalFor(s.hash, "pencil", k, s.first.bare, s.serverFirst, s.binding))
	}
	return map[string][]func(Mechanism, Keys){
		"PLAIN":              {ask, next("\x00anna\x00secret"), judge(true)},
		"LOGIN":              {ask, next("anna"), next("secret"), judge(true)},
		"EXTERNAL":           {ask, next(""), judge(false)},
		"OAUTHBEARER":        {start("n,,\x01auth=Bearer x\x01\x01"), judge(false), next("\x01")},
		"XOAUTH2":            {ask, next("user=anna\x01auth=Bearer x\x01\x01"), judge(false), next("")},
		"SCRAM-SHA-256":      {ask, next("n,,n=anna,r=client"), found, prove, judge(true), next("")},
		"SCRAM-SHA-256-PLUS": {start("p=tls-exporter,,n=anna,r=client"), found, prove, judge(true), next("")},
	}
}

func stageOf(t *testing.T, m Mechanism) stage {
	t.Helper()
	switch m := m.(type) {
	case *plain:
		return m.stage
	case *login:
		return m.stage
	case *external:
		return m.stage
	case *bearer:
		return m.stage
	case *scram:
		return m.stage
	}
	t.Fatalf("%T has no stage", m)
	return over
}

// clientFinalFor is a client in ten lines, that knows the messages before.
func clientFinalFor(h Hash, password string, k Keys, bare, serverFirst string, binding []byte) []byte {
	key, err := saltedClient(h, password, k.Salt, k.Iterations)
	if err != nil {
		panic(err)
	}
	nonce, _, _ := strings.Cut(serverFirst, ",")
	without := "c=" + base64.StdEncoding.EncodeToString(binding) + "," + nonce
	signature := h.hmac(h.sum(key), []byte(bare+","+serverFirst+","+without))
	for i := range signature {
		signature[i] ^= key[i]
	}
	return []byte(without + ",p=" + base64.StdEncoding.EncodeToString(signature))
}

func TestDecodeBase64(t *testing.T) {
	for _, s := range []string{"YW5u\r\n\r\nYQ==YQ", "YW5uYQ==\r\n\r\n", "\n\n\n\n", "YQ", "YR==", "YQ===", "Y", "Y===", "YW-_"} {
		if _, ok := decodeBase64([]byte(s)); ok {
			t.Errorf("%q is decoded", s)
		}
	}
	if got, ok := decodeBase64([]byte("YW5uYQ==")); !ok || !bytes.Equal(got, []byte("anna")) {
		t.Errorf("got %q, %v", got, ok)
	}
}
