package reference

import (
	"slices"
	"sync"
)

// Guide is a tree of questions that ends in advice. Its sentences are
// guide.<ID>.title and .lead, and those of its nodes.
type Guide struct {
	// ID is stable, such as "bounce".
	ID string `json:"id"`
	// Nodes begin with the first question. A node may be reached by several ways.
	Nodes []GuideNode `json:"nodes"`
}

// GuideNode is one question, or one result. The sentences of a question are
// guide.<guide>.<ID>.q and .a-1, .a-2, … for its answers, that of a result
// guide.<guide>.<ID>.result.
type GuideNode struct {
	ID string `json:"id"`
	// Answers are the IDs of the nodes that the answers lead to; a result has
	// none.
	Answers []string `json:"answers,omitempty"`
	// Codes are those that a result speaks of.
	Codes []string `json:"codes,omitempty"`
	// Further are the IDs of guides that go on where a result ends.
	Further []string `json:"further,omitempty"`
}

// Result reports whether the node ends the guide.
func (n GuideNode) Result() bool { return len(n.Answers) == 0 }

// Key is the prefix of its sentences.
func (g Guide) Key() string { return "guide." + g.ID }

// Node finds a node by its ID.
func (g Guide) Node(id string) (GuideNode, bool) {
	i := slices.IndexFunc(g.Nodes, func(n GuideNode) bool { return n.ID == id })
	if i < 0 {
		return GuideNode{}, false
	}
	return g.Nodes[i], true
}

var guides = sync.OnceValue(decodeFacts[[]Guide]("guides"))

// Guides lists the guides. Do not change it.
func Guides() []Guide { return guides() }

// GuideOf finds a guide by its ID.
func GuideOf(id string) (Guide, bool) {
	for _, g := range guides() {
		if g.ID == id {
			return g, true
		}
	}
	return Guide{}, false
}
