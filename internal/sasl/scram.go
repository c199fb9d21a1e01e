package sasl

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
)

// scram is the server's side of SCRAM (rfc5802#3). It differs from others in
// that an account has several secrets, all of one salt: the client's proof is
// tried with the key of each.
//
// A client that fails is told nothing but that: no server-error of ours names
// the reason (rfc5802#7 lets a server leave it out), and nothing that depends on
// the account makes a failure come earlier or with less work. What the client
// wrote against the grammar, and what it asks for that this connection has not,
// is Malformed at once: it knows that itself.
type scram struct {
	exchange
	hash    Hash
	plus    bool
	channel Channel

	first       clientFirst
	binding     []byte // what c= has to hold
	serverFirst string
	keys        Keys
	authMessage []byte
	// spoiled says that no proof can be right, and got.Oddity perhaps why.
	spoiled bool
}

func newScram(name string, hash Hash, plus bool) func(Channel) Mechanism {
	return func(c Channel) Mechanism {
		return &scram{exchange: begin(name), hash: hash, plus: plus, channel: c}
	}
}

func (s *scram) Start(initial []byte) Turn { return s.start(initial, s.clientFirstMessage) }

func (s *scram) Next(response []byte) Turn {
	switch s.stage {
	case asked:
		return s.clientFirstMessage(response)
	case proving:
		return s.clientFinalMessage(response)
	case proved:
		// Our proof was a challenge, because 235 has no place for it (rfc4954#4); the
		// client has nothing to say to it.
		if len(response) == 0 {
			return s.end(Accept)
		}
	}
	return s.end(Malformed)
}

// clientFirstMessage learns who it is, and how it wants to bind.
func (s *scram) clientFirstMessage(m []byte) Turn {
	first, ok := parseClientFirst(m)
	if !ok {
		return s.end(Malformed)
	}
	s.first = first
	s.binding = []byte(first.header.text)
	switch { // rfc5802#6
	case first.header.flag == bound:
		data := s.bindingData(first.header.cbName)
		if !s.plus || len(data) == 0 {
			if s.plus { // of a kind that we do not have, such as tls-unique
				s.got.Login, s.got.Oddity = first.username, BindingDiffers
			}
			return s.end(Malformed)
		}
		s.binding = append(s.binding, data...)
	case s.plus:
		return s.end(Malformed)
	case first.header.flag == couldBind && s.channel.Plus:
		// It was not shown what we offer: somebody may have taken it away.
		s.spoil(BindingHidden)
	}
	s.got.Authorize, s.got.Login = first.header.authzid, first.username
	s.stage = looking
	return Turn{Do: LookUp}
}

func (s *scram) bindingData(cbName string) []byte {
	known := cbName == TLSExporter || cbName == TLSServerEndPoint
	if !known || s.channel.Binding == nil {
		return nil
	}
	return s.channel.Binding(cbName)
}

// Found gives the client what it needs for its proof.
func (s *scram) Found(k Keys) Turn {
	if s.stage != looking {
		return s.end(Malformed)
	}
	var fresh string
	if s.channel.Nonce != nil {
		fresh = s.channel.Nonce()
	}
	if !isNonce(fresh) {
		// Without a nonce of ours an exchange could be played again.
		return s.end(Reject)
	}
	s.keys = k
	s.first.nonce += fresh
	s.serverFirst = fmt.Sprintf("r=%s,s=%s,i=%d", s.first.nonce, base64.StdEncoding.EncodeToString(k.Salt), k.Iterations)
	return s.respond(proving, []byte(s.serverFirst))
}

// clientFinalMessage tries the proof. Whatever is wrong, the work is the same.
func (s *scram) clientFinalMessage(m []byte) Turn {
	final, ok := parseClientFinal(m)
	if !ok || len(final.proof) != s.hash.Size() {
		return s.end(Malformed)
	}
	if final.nonce != s.first.nonce { // rfc5802#5.1
		s.spoil("")
	}
	if !bytes.Equal(final.binding, s.binding) {
		s.spoil(BindingDiffers)
	}
	s.authMessage = fmt.Appendf(nil, "%s,%s,%s", s.first.bare, s.serverFirst, final.withoutProof)
	s.got.Key = s.try(final.proof)
	if s.spoiled {
		s.got.Key = -1
	}
	return s.check()
}

func (s *scram) spoil(o Oddity) {
	s.spoiled = true
	if s.got.Oddity == "" {
		s.got.Oddity = o
	}
}

// try returns the index of the first key with which the proof is right, or -1.
// It takes two hash operations for each key, and as long for each outcome:
//
//	ClientSignature := HMAC(StoredKey, AuthMessage)
//	ClientKey       := ClientProof XOR ClientSignature
//	right           :  H(ClientKey) = StoredKey          (rfc5802#3)
func (s *scram) try(proof []byte) int {
	found := -1
	clientKey := make([]byte, s.hash.Size())
	for i := len(s.keys.Candidates) - 1; i >= 0; i-- {
		stored := s.keys.Candidates[i].Stored
		s.count()
		subtle.XORBytes(clientKey, proof, s.hash.hmac(stored, s.authMessage))
		s.count()
		right := subtle.ConstantTimeCompare(s.hash.sum(clientKey), stored)
		found = subtle.ConstantTimeSelect(right, i, found)
	}
	return found
}

func (s *scram) count() {
	if s.channel.Hashed != nil {
		s.channel.Hashed()
	}
}

// Judged sends our own proof, by which the client knows that we have its key:
// server-final-message without an error (rfc5802#5.1).
func (s *scram) Judged(ok bool, _ Judgement) Turn {
	switch {
	case s.stage != checking:
		return s.end(Malformed)
	case !ok || s.got.Key < 0: // a yes to no proof is a defect of the caller's
		return s.end(Reject)
	}
	signature := s.hash.hmac(s.keys.Candidates[s.got.Key].Server, s.authMessage)
	return s.respond(proved, []byte("v="+base64.StdEncoding.EncodeToString(signature)))
}
