package reference

import "sync"

// Transcript is a piece of a real conversation with this server, taken from a
// script that is played against the whole of it: facts/transcripts.json is made
// and checked by a test of package onward.
type Transcript struct {
	// Reply is the name of the reply of ours with which the piece ends.
	Reply string `json:"reply"`
	// Script is the name of the script.
	Script string `json:"script"`
	// Lines are "C: …" what the client says, "S: …" what the server says, and
	// "…" where something is left out.
	Lines []string `json:"lines"`
	// Marked is how many lines at the end are the reply.
	Marked int `json:"marked"`
}

var transcripts = sync.OnceValue(func() map[string]Transcript {
	list := decodeFacts[[]Transcript]("transcripts")()
	m := make(map[string]Transcript, len(list))
	for _, t := range list {
		m[t.Reply] = t
	}
	return m
})

// TranscriptOf finds the conversation in which a reply of ours is said.
func TranscriptOf(reply string) (Transcript, bool) {
	t, ok := transcripts()[reply]
	return t, ok
}
