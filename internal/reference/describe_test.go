package reference

import (
	"slices"
	"testing"
)

func TestDescribe(t *testing.T) {
	c, ok := Describe("en", "550")
	if !ok || c.Code != 550 || c.Kind != "permanent" || c.Name == "" || c.Meaning == "" || c.When == "" || c.Fix == "" {
		t.Errorf("550 is described as %+v", c)
	}
	if !slices.Contains(c.Commands, "RCPT") || len(c.Providers) == 0 || !slices.Contains(c.Replies, "mailbox-unknown") {
		t.Errorf("550 answers %v, %d providers, replies %v", c.Commands, len(c.Providers), c.Replies)
	}
	e, ok := Describe("ja", "5.7.26")
	if !ok || e.Code != 0 || e.Enhanced != "5.7.26" || e.Retry != RetryNo || e.Language != "ja" || len(e.Providers) == 0 {
		t.Errorf("5.7.26 is described as %+v", e)
	}
	for _, p := range e.Providers {
		if r, _ := RowOf(p.ID); r.Enhanced != "5.7.26" {
			t.Errorf("the row %s of 5.7.26 has %s", p.ID, r.Enhanced)
		}
	}
	if x, ok := Describe("en", "X.7.26"); !ok || x.Retry != "" || len(x.Providers) < len(e.Providers) {
		t.Errorf("X.7.26 is described as %+v", x)
	}
	if p, ok := Describe("en", "5.7.606"); !ok || p.Meaning == "" || len(p.Private) == 0 {
		t.Errorf("a private code is described as %+v", p)
	}
	for _, unknown := range []string{"", "999", "5.99.99", "5.7", "abc", "550 5.1.1"} {
		if _, ok := Describe("en", unknown); ok {
			t.Errorf("%q is described", unknown)
		}
	}
}

func TestFilter(t *testing.T) {
	all := Codes("en")
	if got := Filter(all, ""); len(got) != len(all) {
		t.Errorf("no word keeps %d of %d", len(got), len(all))
	}
	for _, c := range []struct {
		word, kind, id string
		not            string
	}{
		{"55", "basic", "550", "450"},
		{"5.7", "enhanced", "X.7.26", "X.1.1"},
		{"AUTH", "basic", "535", "251"},
		{"relay-denied", "reply", "relay-denied", "mailbox-unknown"},
		{"bad destination mailbox", "enhanced", "X.1.1", "X.7.1"},
	} {
		ids := []string{}
		for _, s := range Filter(all, c.word) {
			ids = append(ids, s.ID)
		}
		if !slices.Contains(ids, c.id) || slices.Contains(ids, c.not) {
			t.Errorf("%q gives %v; want %s and not %s", c.word, ids, c.id, c.not)
		}
	}
}
