package sasl

// newXOAuth2 makes an XOAUTH2 exchange: what Google described before there was
// RFC 7628, and what Outlook and most clients speak to this day.
func newXOAuth2(Channel) Mechanism {
	return &bearer{exchange: begin("XOAUTH2"), read: xoauth2Response, failure: xoauth2Failure}
}

// xoauth2Response reads "user=" name ^A "auth=Bearer " token ^A ^A.
func xoauth2Response(m []byte) (login, authorization string, ok bool) {
	pairs, ok := kvpairs(m, "user", "auth")
	if !ok || pairs["auth"] == "" {
		return "", "", false
	}
	return pairs["user"], pairs["auth"], true
}

// xoauth2Failure is the error that a client gets: its status is one of HTTP,
// where OAUTHBEARER has the word of OAuth for it (RFC 6750, section 3.1).
func xoauth2Failure(j Judgement) any {
	status := "401"
	switch j.Status {
	case "invalid_request":
		status = "400"
	case "insufficient_scope":
		status = "403"
	}
	return struct {
		Status  string `json:"status"`
		Schemes string `json:"schemes"`
		Scope   string `json:"scope,omitempty"`
	}{status, "bearer", j.Scope}
}
