package sasl

import "bytes"

// plain is PLAIN: [authzid] NUL authcid NUL passwd (rfc4616#2).
type plain struct{ exchange }

func newPlain(Channel) Mechanism { return &plain{begin("PLAIN")} }

func (p *plain) Start(initial []byte) Turn { return p.start(initial, p.message) }

func (p *plain) Next(response []byte) Turn {
	if p.stage != asked {
		return p.end(Malformed)
	}
	return p.message(response)
}

func (p *plain) message(m []byte) Turn {
	parts, ok := plainParts(m)
	if !ok {
		if twice, isBase64 := decodeBase64(m); isBase64 {
			if _, ok := plainParts(twice); ok {
				p.got.Oddity = Base64Twice
			}
		}
		return p.end(Malformed)
	}
	p.got.Authorize, p.got.Login, p.got.Secret = string(parts[0]), string(parts[1]), string(parts[2])
	p.got.Oddity = odd(p.got.Login, p.got.Secret)
	return p.check()
}

// plainParts splits the message. An empty name or password is against the
// grammar, which spares us the question what an empty password opens.
func plainParts(m []byte) ([][]byte, bool) {
	parts := bytes.SplitN(m, []byte{0}, 4)
	ok := len(parts) == 3 && (len(parts[0]) == 0 || isText(parts[0])) && isText(parts[1]) && isText(parts[2])
	return parts, ok
}
