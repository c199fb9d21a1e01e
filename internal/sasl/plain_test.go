package sasl

import (
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	long := strings.Repeat("x", MaxSecret)
	runExchanges(t, "PLAIN", world{ok: always}, []exchangeTest{
		// The examples of RFC 4616, section 4; in the second, the name is Ursel's.
		{"rfc4616 first", []byte("\x00tim\x00tanstaaftanstaaf"), nil, "Check Accept", Credentials{Login: "tim", Secret: "tanstaaftanstaaf"}},
		{"rfc4616 second", []byte("Ursel\x00Kurt\x00xipj3plmq"), nil, "Check Accept", Credentials{Authorize: "Ursel", Login: "Kurt", Secret: "xipj3plmq"}},
		{"asked for", nil, []string{"\x00anna\x00secret!"}, "[] Check Accept", Credentials{Login: "anna", Secret: "secret!"}},
		{"in UTF-8", []byte("\x00jürgen\x00gehe im"), nil, "Check Accept", Credentials{Login: "jürgen", Secret: "gehe im"}},
		{"long", []byte(long + "\x00" + long + "\x00" + long), nil, "Check Accept", Credentials{Authorize: long, Login: long, Secret: long}},
		{"empty", []byte{}, nil, "Malformed", Credentials{}},
		{"one part", []byte("anna"), nil, "Malformed", Credentials{}},
		{"two parts", []byte("anna\x00secret"), nil, "Malformed", Credentials{}},
		{"four parts", []byte("\x00anna\x00secret\x00"), nil, "Malformed", Credentials{}},
		{"without login", []byte("bob\x00\x00secret"), nil, "Malformed", Credentials{}},
		{"without secret", []byte("\x00anna\x00"), nil, "Malformed", Credentials{}},
		{"not UTF-8", []byte("\x00anna\x00\xff"), nil, "Malformed", Credentials{}},
		{"name not UTF-8", []byte("\x00\xff\x00secret"), nil, "Malformed", Credentials{}},
		{"authzid not UTF-8", []byte("\xff\x00anna\x00secret"), nil, "Malformed", Credentials{}},
		{"secret too long", []byte("\x00anna\x00" + long + "x"), nil, "Malformed", Credentials{}},
		{"name too long", []byte("\x00" + long + "x\x00secret"), nil, "Malformed", Credentials{}},
		{"authzid too long", []byte(long + "x\x00anna\x00secret"), nil, "Malformed", Credentials{}},
		{"encoded twice", []byte("AGFubmEAc2VjcmV0"), nil, "Malformed", Credentials{Oddity: Base64Twice}},
		{"parts encoded twice", []byte("\x00YW5uYUBleGFtcGxlLm9yZw==\x00c2VjcmV0"), nil, "Check Accept", Credentials{Login: "YW5uYUBleGFtcGxlLm9yZw==", Secret: "c2VjcmV0", Oddity: Base64Twice}},
	})
	runExchanges(t, "PLAIN", world{}, []exchangeTest{
		{"wrong", []byte("\x00anna\x00secret!"), nil, "Check Reject", Credentials{Login: "anna", Secret: "secret!"}},
	})
}
