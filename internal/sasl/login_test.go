package sasl

import (
	"strings"
	"testing"
)

func TestLogin(t *testing.T) {
	long := strings.Repeat("x", MaxSecret)
	runExchanges(t, "LOGIN", world{ok: always}, []exchangeTest{
		{"two prompts", nil, []string{"anna", "secret!"}, "[Username:] [Password:] Check Accept", Credentials{Login: "anna", Secret: "secret!"}},
		{"initial response", []byte("anna"), []string{"secret!"}, "[Password:] Check Accept", Credentials{Login: "anna", Secret: "secret!"}},
		{"long", []byte(long), []string{long}, "[Password:] Check Accept", Credentials{Login: long, Secret: long}},
		{"empty initial response", []byte{}, nil, "Malformed", Credentials{}},
		{"without name", nil, []string{""}, "[Username:] Malformed", Credentials{}},
		{"without secret", nil, []string{"anna", ""}, "[Username:] [Password:] Malformed", Credentials{Login: "anna"}},
		{"with NUL", nil, []string{"an\x00na"}, "[Username:] Malformed", Credentials{}},
		{"in ISO 8859-1", nil, []string{"anna", "s\xfc\xdf"}, "[Username:] [Password:] Check Accept", Credentials{Login: "anna", Secret: "süß"}},
		{"in UTF-8", nil, []string{"anna", "süß"}, "[Username:] [Password:] Check Accept", Credentials{Login: "anna", Secret: "süß"}},
		{"no text at all", nil, []string{"anna", "\xff\x00"}, "[Username:] [Password:] Malformed", Credentials{Login: "anna"}},
		{"too long in UTF-8", nil, []string{"anna", strings.Repeat("\xfc", MaxSecret)}, "[Username:] [Password:] Malformed", Credentials{Login: "anna"}},
		{"too long", nil, []string{"anna", long + "x"}, "[Username:] [Password:] Malformed", Credentials{Login: "anna"}},
		{"prompt sent back", nil, []string{"anna", "UGFzc3dvcmQ6"}, "[Username:] [Password:] Check Accept", Credentials{Login: "anna", Secret: "UGFzc3dvcmQ6", Oddity: PromptSent}},
	})
	runExchanges(t, "LOGIN", world{}, []exchangeTest{
		{"wrong", []byte("anna"), []string{"secret!"}, "[Password:] Check Reject", Credentials{Login: "anna", Secret: "secret!"}},
	})
}

func TestOddity(t *testing.T) {
	tests := []struct {
		name, secret string
		want         Oddity
	}{
		{"anna@example.org", "secret!", ""},
		{"anna@example.org", "correct horse battery staple", ""},
		{"anna", "password", ""},                                       // base64, but not of printable text
		{"anna@example.org", "YWJj", ""},                               // of three characters
		{"anna@example.org", "YWJjZA==", Base64Twice},                  // of four
		{"anna@example.org", "YWJjZA", ""},                             // not padded
		{"anna@example.org", "asO8cmdlbg==", Base64Twice},              // of UTF-8
		{"anna@example.org", "YWJjZAo=", ""},                           // with a line end
		{"anna@example.org", "////////", ""},                           // not UTF-8
		{"YW5uYUBleGFtcGxlLm9yZw==", "secret!", Base64Twice},           // the name
		{"anna@example.org", "UGFzc3dvcmQ6", PromptSent},               // the prompt as it was on the wire
		{"VXNlcm5hbWU6", "secret!", PromptSent},                        //
		{"username:", "secret!", PromptSent},                           // and decoded
		{"anna@example.org", "Password:", PromptSent},                  //
		{"YW5uYUBleGFtcGxlLm9yZw==", "Password:", PromptSent},          // what explains more
		{"anna@example.org", strings.Repeat("YWJj", 256), Base64Twice}, // as long as may be
	}
	for _, tt := range tests {
		if got := odd(tt.name, tt.secret); got != tt.want {
			t.Errorf("odd(%q, %q) = %q, want %q", tt.name, tt.secret, got, tt.want)
		}
	}
}
