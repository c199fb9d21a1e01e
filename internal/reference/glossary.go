package reference

import "sync"

// Term is a word of mail administrators. Its sentences are glossary.<ID>.term
// and .text.
type Term struct {
	// ID is stable, such as "greylisting".
	ID string `json:"id"`
	// See are the IDs of other terms, Codes the codes that belong to it.
	See   []string `json:"see,omitempty"`
	Codes []string `json:"codes,omitempty"`
	// Source is where it is defined, such as "RFC 5598 §2.2.3".
	Source string `json:"source"`
}

// Key is the prefix of its sentences.
func (t Term) Key() string { return "glossary." + t.ID }

var glossary = sync.OnceValue(decodeFacts[[]Term]("glossary"))

// Glossary lists the terms by ID. Do not change it.
func Glossary() []Term { return glossary() }
