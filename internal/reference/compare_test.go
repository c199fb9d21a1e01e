package reference

import (
	"strings"
	"testing"
)

func TestCompareSaysFirstThatCodesNeverCompete(t *testing.T) {
	for _, l := range Languages() {
		c := Compare("251", "535", l.Tag)
		if !c.Known || c.Competing || len(c.First) != 1 {
			t.Fatalf("%s: 251 and 535: %+v", l.Tag, c)
		}
		for _, want := range []string{"251", "535", "RCPT", "AUTH"} {
			if !strings.Contains(c.First[0], want) {
				t.Errorf("%s: %q does not name %s", l.Tag, c.First[0], want)
			}
		}
		if len(c.Suggestions) == 0 {
			t.Errorf("%s: no pair is offered that the reader may have meant", l.Tag)
		}
		for _, s := range c.Suggestions {
			if other := Compare(s[0], s[1], l.Tag); !other.Competing {
				t.Errorf("%s: %v is offered and does not compete either", l.Tag, s)
			}
		}
	}
}

func TestCompareHasNotesForConfusedPairs(t *testing.T) {
	for _, l := range Languages() {
		for _, pair := range [][2]string{{"251", "551"}, {"251", "252"}, {"250", "251"}, {"450", "550"}, {"535", "530"}, {"550", "551"}, {"550", "554"}} {
			c := Compare(pair[0], pair[1], l.Tag)
			if c.Note == "" || c.UseWhich == "" || len(c.Differences) == 0 || c.WhenA == "" || c.WhenB == "" {
				t.Errorf("%s: %v lacks something: %+v", l.Tag, pair, c)
			}
			if pair[0] != "535" && !c.Competing {
				t.Errorf("%s: %v compete", l.Tag, pair)
			}
			if back := Compare(pair[1], pair[0], l.Tag); back.Note != c.Note || back.UseWhich != c.UseWhich {
				t.Errorf("%s: %v reads differently in the other order", l.Tag, pair)
			}
		}
	}
}

// Rules give something true and readable for any two codes.
func TestCompareAnyTwo(t *testing.T) {
	var codes []string
	for _, b := range Basics() {
		codes = append(codes, strings.TrimPrefix(b.Key(), "basic."))
	}
	for _, e := range Enhanceds() {
		codes = append(codes, "5"+e.Code[1:])
	}
	for i, a := range codes {
		b := codes[(i*37+11)%len(codes)]
		c := Compare(a, b, "en")
		if !c.Known {
			t.Errorf("%s and %s: one is not known", a, b)
			continue
		}
		text := strings.Join(c.First, " ") + c.UseWhich + c.Note
		if text == "" || strings.Contains(text, "{") {
			t.Errorf("%s and %s: %q", a, b, text)
		}
		for _, row := range c.Differences {
			if row.A == "" || row.B == "" || row.Aspect == "" || row.Same != (row.A == row.B) {
				t.Errorf("%s and %s: row %+v", a, b, row)
			}
		}
	}
}

func TestCompareFacts(t *testing.T) {
	row := func(c Comparison, key string) Difference {
		for _, r := range c.Differences {
			if r.Key == key {
				return r
			}
		}
		t.Fatalf("no row %s in %+v", key, c)
		return Difference{}
	}
	c := Compare("450", "550", "en")
	if r := row(c, "retry"); r.Same || !strings.HasPrefix(r.A, "yes") || !strings.HasPrefix(r.B, "no") {
		t.Errorf("retry of 450 and 550: %+v", r)
	}
	if r := row(c, "message"); r.Same {
		t.Errorf("who has the message after 450 and 550: %+v", r)
	}
	if r := row(Compare("421", "450", "en"), "connection"); r.Same {
		t.Errorf("connection after 421 and 450: %+v", r)
	}
	if c := Compare("550", "5.1.1", "en"); c.Competing || len(c.First) != 1 || !strings.Contains(c.First[0], "same reply") {
		t.Errorf("550 and 5.1.1 stand in the same reply: %+v", c)
	}
	if c := Compare("550", "550", "en"); c.Competing || len(c.First) != 1 {
		t.Errorf("a code and itself: %+v", c)
	}
	if c := Compare("999", "5.1.1", "ja"); c.Known || len(c.First) != 1 || !strings.Contains(c.First[0], "999") {
		t.Errorf("an unknown code: %+v", c)
	}
	if c := Compare("", "\x1b[2J", "en"); c.Known || len(c.First) != 2 {
		t.Errorf("garbage: %+v", c)
	}
}
