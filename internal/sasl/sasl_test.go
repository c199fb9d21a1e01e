package sasl

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	var names []string
	for _, o := range Offers() {
		names = append(names, o.Name)
		got, ok := Find(strings.ToLower(o.Name))
		if !ok || got.Name != o.Name || !got.Clear {
			t.Errorf("Find(%s) = %+v, %v", o.Name, got, ok)
		}
		if o.New() == o.New() {
			t.Errorf("%s: two exchanges are one", o.Name)
		}
	}
	if !slices.Equal(names, []string{"PLAIN", "LOGIN"}) {
		t.Errorf("the offers are %v", names)
	}
	if _, ok := Find("CRAM-MD5"); ok {
		t.Error("an unknown mechanism is found")
	}
}

// run holds an exchange: initial, nil for none, then responses. It returns the
// challenges joined by a bar.
func run(m Mechanism, initial []byte, responses ...string) (challenges string, done bool, err error) {
	c, done, err := m.Start(initial)
	for err == nil && !done && len(responses) > 0 {
		challenges += string(c) + "|"
		c, done, err = m.Next([]byte(responses[0]))
		responses = responses[1:]
	}
	if err == nil && !done {
		challenges += string(c) + "|"
	}
	return challenges, done, err
}

func TestExchanges(t *testing.T) {
	long := strings.Repeat("x", MaxSecret)
	tests := []struct {
		name, mechanism string
		initial         []byte
		responses       []string
		challenges      string
		want            Credentials
		malformed       bool
	}{
		{"plain", "PLAIN", []byte("\x00anna\x00secret"), nil, "", Credentials{"PLAIN", "", "anna", "secret"}, false},
		{"plain as another", "PLAIN", []byte("bob\x00anna\x00secret"), nil, "", Credentials{"PLAIN", "bob", "anna", "secret"}, false},
		{"plain, asked for", "PLAIN", nil, []string{"\x00anna\x00secret"}, "|", Credentials{"PLAIN", "", "anna", "secret"}, false},
		{"plain in UTF-8", "PLAIN", []byte("\x00jürgen\x00gehe im"), nil, "", Credentials{"PLAIN", "", "jürgen", "gehe im"}, false},
		{"plain, long", "PLAIN", []byte("\x00" + long + "\x00" + long), nil, "", Credentials{"PLAIN", "", long, long}, false},
		{"plain, empty", "PLAIN", []byte{}, nil, "", Credentials{}, true},
		{"plain, one part", "PLAIN", []byte("anna"), nil, "", Credentials{}, true},
		{"plain, four parts", "PLAIN", []byte("\x00anna\x00secret\x00"), nil, "", Credentials{}, true},
		{"plain without login", "PLAIN", []byte("bob\x00\x00secret"), nil, "", Credentials{}, true},
		{"plain without secret", "PLAIN", []byte("\x00anna\x00"), nil, "", Credentials{}, true},
		{"plain, not UTF-8", "PLAIN", []byte("\x00anna\x00\xff"), nil, "", Credentials{}, true},
		{"plain, too long", "PLAIN", []byte("\x00anna\x00" + long + "x"), nil, "", Credentials{}, true},
		{"login", "LOGIN", nil, []string{"anna", "secret"}, "Username:|Password:|", Credentials{"LOGIN", "", "anna", "secret"}, false},
		{"login with initial", "LOGIN", []byte("anna"), []string{"secret"}, "Password:|", Credentials{"LOGIN", "", "anna", "secret"}, false},
		{"login with empty initial", "LOGIN", []byte{}, nil, "", Credentials{}, true},
		{"login without name", "LOGIN", nil, []string{""}, "Username:|", Credentials{}, true},
		{"login without secret", "LOGIN", nil, []string{"anna", ""}, "Username:|Password:|", Credentials{}, true},
		{"login with NUL", "LOGIN", nil, []string{"an\x00na"}, "Username:|", Credentials{}, true},
		{"login, not UTF-8", "LOGIN", nil, []string{"\xff"}, "Username:|", Credentials{}, true},
		{"login, too long", "LOGIN", nil, []string{"anna", long + "x"}, "Username:|Password:|", Credentials{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			offer, _ := Find(tt.mechanism)
			m := offer.New()
			challenges, done, err := run(m, tt.initial, tt.responses...)
			if challenges != tt.challenges {
				t.Errorf("challenges %q, want %q", challenges, tt.challenges)
			}
			if tt.malformed != errors.Is(err, ErrMalformed) || done == tt.malformed {
				t.Errorf("done %v, error %v", done, err)
			}
			if done && m.Credentials() != tt.want {
				t.Errorf("credentials %+v, want %+v", m.Credentials(), tt.want)
			}
		})
	}
}

// TestNameDuringExchange: who is asked in between which mechanism it is knows
// it, so that an error can name it.
func TestNameDuringExchange(t *testing.T) {
	for _, o := range Offers() {
		m := o.New()
		if _, _, err := m.Start(nil); err != nil {
			t.Fatal(err)
		}
		if got := m.Credentials().Mechanism; got != o.Name {
			t.Errorf("%s calls itself %q after its first challenge", o.Name, got)
		}
	}
}

// FuzzMechanisms: whatever comes, an exchange ends, and credentials that are
// complete are within the limits.
func FuzzMechanisms(f *testing.F) {
	f.Add([]byte("\x00anna\x00secret"), []byte("secret"), true)
	f.Add([]byte("anna"), []byte("secret"), false)
	f.Fuzz(func(t *testing.T, a, b []byte, initial bool) {
		for _, o := range Offers() {
			m := o.New()
			responses := [][]byte{a, b}
			var first []byte
			if initial {
				first = append([]byte{}, a...)
				responses = responses[1:]
			}
			_, done, err := m.Start(first)
			for _, r := range responses {
				if done || err != nil {
					break
				}
				_, done, err = m.Next(r)
			}
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s: %v", o.Name, err)
			}
			if c := m.Credentials(); done && (c.Mechanism != o.Name || c.Login == "" || c.Secret == "" || len(c.Login) > MaxSecret || len(c.Secret) > MaxSecret) {
				t.Fatalf("%s: %+v", o.Name, c)
			}
		}
	})
}
