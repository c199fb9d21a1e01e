package reference

import (
	"slices"
	"strconv"
	"testing"
)

// TestGuides: every node can be reached, every way ends in a result, every
// sentence exists, every code is known.
func TestGuides(t *testing.T) {
	if len(Guides()) < 5 {
		t.Errorf("%d guides", len(Guides()))
	}
	need := func(key string) {
		t.Helper()
		if s, ok := Sentence(Fallback, key); !ok || s == "" {
			t.Errorf("no sentence %s", key)
		}
	}
	known := map[string]bool{}
	for _, g := range Guides() {
		need(g.Key() + ".title")
		need(g.Key() + ".lead")
		known[g.Key()+".title"], known[g.Key()+".lead"] = true, true
		reached := map[string]bool{}
		var walk func(id string, way []string)
		walk = func(id string, way []string) {
			if slices.Contains(way, id) {
				t.Errorf("%s goes in a circle: %v", g.ID, append(way, id))
				return
			}
			n, ok := g.Node(id)
			if !ok {
				t.Errorf("%s: %v leads to %s, which is no node", g.ID, way, id)
				return
			}
			reached[id] = true
			key := g.Key() + "." + id
			if n.Result() {
				need(key + ".result")
				known[key+".result"] = true
				return
			}
			need(key + ".q")
			known[key+".q"] = true
			for i, to := range n.Answers {
				answer := key + ".a-" + strconv.Itoa(i+1)
				need(answer)
				known[answer] = true
				walk(to, append(slices.Clone(way), id))
			}
		}
		walk(g.Nodes[0].ID, nil)
		for _, n := range g.Nodes {
			if !n.Result() && len(n.Codes)+len(n.Further) > 0 {
				t.Errorf("%s, %s: a question has codes or further guides, which only a result shows", g.ID, n.ID)
			}
			for _, further := range n.Further {
				if _, ok := GuideOf(further); !ok || further == g.ID {
					t.Errorf("%s, %s: %s is no further guide", g.ID, n.ID, further)
				}
			}
			if !reached[n.ID] {
				t.Errorf("%s: nothing leads to %s", g.ID, n.ID)
			}
			for _, code := range n.Codes {
				if _, ok := Canonical(code); !ok {
					t.Errorf("%s, %s: %s is no code", g.ID, n.ID, code)
				}
			}
		}
	}
	for _, key := range Keys(Fallback) {
		if len(key) > 6 && key[:6] == "guide." && !known[key] {
			t.Errorf("%s belongs to no guide", key)
		}
	}
	if _, ok := GuideOf("no-such-guide"); ok {
		t.Error("an unknown guide is found")
	}
}

func TestGlossary(t *testing.T) {
	terms := Glossary()
	if len(terms) < 60 {
		t.Errorf("%d terms", len(terms))
	}
	ids := map[string]bool{}
	for _, g := range terms {
		ids[g.ID] = true
	}
	for _, g := range terms {
		for _, leaf := range []string{".term", ".text"} {
			if s, ok := Sentence(Fallback, g.Key()+leaf); !ok || s == "" {
				t.Errorf("no sentence %s", g.Key()+leaf)
			}
		}
		for _, other := range g.See {
			if !ids[other] || other == g.ID {
				t.Errorf("%s refers to %s", g.ID, other)
			}
		}
		for _, code := range g.Codes {
			if _, ok := Canonical(code); !ok {
				t.Errorf("%s: %s is no code", g.ID, code)
			}
		}
		if g.Source == "" {
			t.Errorf("%s has no source", g.ID)
		}
	}
}
