package sasl

import (
	"strings"
	"testing"
)

func TestExternal(t *testing.T) {
	runExchanges(t, "EXTERNAL", world{ok: always}, []exchangeTest{
		// The examples of RFC 4422, appendix A.2.
		{"rfc4422 without authzid", []byte{}, nil, "Check Accept", Credentials{}},
		{"rfc4422 with authzid", []byte("fred@example.com"), nil, "Check Accept", Credentials{Login: "fred@example.com"}},
		{"rfc4422 asked for", nil, []string{""}, "[] Check Accept", Credentials{}},
		{"asked for, with authzid", nil, []string{"fred@example.com"}, "[] Check Accept", Credentials{Login: "fred@example.com"}},
		{"with NUL", []byte("fr\x00ed"), nil, "Malformed", Credentials{}},
		{"not UTF-8", []byte("\xff"), nil, "Malformed", Credentials{}},
		{"too long", []byte(strings.Repeat("x", MaxSecret+1)), nil, "Malformed", Credentials{}},
	})
	runExchanges(t, "EXTERNAL", world{}, []exchangeTest{
		{"wrong", []byte{}, nil, "Check Reject", Credentials{}},
	})
}
