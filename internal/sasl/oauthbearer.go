package sasl

// newOAuthBearer makes an OAUTHBEARER exchange (RFC 7628).
func newOAuthBearer(Channel) Mechanism {
	return &bearer{exchange: begin("OAUTHBEARER"), read: oauthBearerResponse, failure: oauthBearerFailure}
}

// oauthBearerResponse reads gs2-header kvsep *kvpair kvsep (rfc7628#3.1). The
// mechanism cannot bind to a channel, so the flag "p" is against it. Of the pairs
// only auth matters: host and port are what the client connected to, which here
// it did by TLS, and unknown ones are to be ignored.
func oauthBearerResponse(m []byte) (login, authorization string, ok bool) {
	h, rest, ok := parseGS2Header(string(m))
	if !ok || h.flag == bound || rest == "" || rest[0] != 1 {
		return "", "", false
	}
	pairs, ok := kvpairs([]byte(rest[1:]), "auth")
	if !ok {
		return "", "", false
	}
	authorization, ok = pairs["auth"] // required, though it may be empty
	return h.authzid, authorization, ok
}

// oauthBearerFailure is the error that a client gets (rfc7628#3.2.2).
func oauthBearerFailure(j Judgement) any {
	if j.Status == "" {
		j.Status = "invalid_token"
	}
	return struct {
		Status string `json:"status"`
		Scope  string `json:"scope,omitempty"`
		OpenID string `json:"openid-configuration,omitempty"`
	}{j.Status, j.Scope, j.OpenIDConfiguration}
}
