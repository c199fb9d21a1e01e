package sasl

// external is EXTERNAL: the client is known by something outside of the
// exchange, here its certificate, and at most says as whom it comes
// (rfc4422#A.1).
type external struct{ exchange }

func newExternal(Channel) Mechanism { return &external{begin("EXTERNAL")} }

func (x *external) Start(initial []byte) Turn { return x.start(initial, x.message) }

func (x *external) Next(response []byte) Turn {
	if x.stage != asked {
		return x.end(Malformed)
	}
	return x.message(response)
}

func (x *external) message(m []byte) Turn {
	if len(m) > 0 && !isText(m) {
		return x.end(Malformed)
	}
	x.got.Login = string(m)
	return x.check()
}
