package smtp

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/address"
)

// ParseHello reads the argument of EHLO, HELO and LHLO: Domain or
// address-literal (rfc5321#4.1.1.1). It returns what the client called itself,
// as it wrote it: what it wrote is what is traced and checked. These mistakes of
// real clients are tolerated, because nothing depends on the name and a refusal
// loses mail: the dot of the root, an IPv6 address without its tag or with a zone,
// and what Windows makes of the name of a computer, which may end with a hyphen (cut to
// the 15 characters of NetBIOS) and may have letters of a local character set.
func ParseHello(arg string) (string, error) {
	name := arg
	if n := len(arg) - 1; n > 0 && arg[n] == '.' {
		name = arg[:n]
	} else if strings.HasPrefix(arg, "[") && strings.Count(arg, ":") > 1 && !strings.EqualFold(arg[:min(len(arg), 6)], "[IPv6:") {
		name = "[IPv6:" + arg[1:]
	}
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		if at, zone, ok := strings.Cut(name, "%"); ok && strings.Contains(at, ":") && strings.Trim(zone[:len(zone)-1], alphanumeric) == "" {
			name = at + "]" // a zone (rfc4007#11) says nothing to anybody else
		}
	}
	_, err := address.ParseDomain(name)
	if err != nil && !strings.HasPrefix(name, "[") {
		_, lenient := address.ParseDomain(computerName(name))
		if lenient == nil {
			return arg, nil
		}
	}
	if err != nil {
		return "", bad(FaultSyntax, err)
	}
	return arg, nil
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// computerName is a name with what is tolerated in it replaced.
func computerName(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 0x80 || c == '-' && (i+1 == len(b) || b[i+1] == '.') {
			b[i] = 'x'
		}
	}
	return string(b)
}

// ParseVerify reads the argument of VRFY: an address with or without angle
// brackets, or a local part alone (rfc5321#3.5.1), in which case the Mailbox
// has no domain. utf8 says that the parameter SMTPUTF8 is understood
// (rfc6531#3.7.4.2).
func ParseVerify(arg string, utf8 bool) (address.Mailbox, error) {
	if utf8 {
		const param = " SMTPUTF8"
		if n := len(arg) - len(param); n > 0 && strings.EqualFold(arg[n:], param) {
			arg = strings.TrimRight(arg[:n], " ")
		} else {
			utf8 = false
		}
	}
	if !utf8 && !isASCII(arg) {
		return address.Mailbox{}, fault(FaultNonASCII, "", "the address has characters beyond ASCII")
	}
	if strings.HasPrefix(arg, "<") && strings.HasSuffix(arg, ">") {
		arg = arg[1 : len(arg)-1]
	}
	local, rest, err := address.LocalPart(arg)
	if err == nil && rest == "" {
		return address.Mailbox{Local: local}, nil
	}
	m, err := address.ParseMailbox(arg)
	if err != nil {
		return address.Mailbox{}, bad(FaultForwardPath, err)
	}
	return m, nil
}

// ParseAuth reads the argument of AUTH: mechanism [SP initial-response]
// (rfc4954#4, rfc4954#8). initial is nil if there is none, and empty for "=".
// An initial response that is not base64 is of the kind FaultBase64; the
// mechanism, in capitals, is returned even then.
func ParseAuth(arg string) (mechanism string, initial []byte, err error) {
	mechanism, coded, given := strings.Cut(arg, " ")
	if !isMechanism(mechanism) || given && (coded == "" || strings.IndexByte(coded, ' ') >= 0) {
		return "", nil, fault(FaultSyntax, "", "AUTH mechanism [initial-response]")
	}
	mechanism = strings.ToUpper(mechanism)
	switch {
	case !given:
		return mechanism, nil, nil
	case coded == "=":
		return mechanism, []byte{}, nil
	}
	initial, err = DecodeBase64([]byte(coded))
	return mechanism, initial, err
}

// isMechanism holds s against sasl-mech = 1*20mech-char (rfc4422#3.1), in any
// case.
func isMechanism(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := upper(s[i]); !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= MaxMechanism
}

// DecodeBase64 reads one line of an AUTH exchange (rfc4954#4): base64 of
// rfc4648#4 with its padding and nothing else. An empty line is an empty
// response. An error is of the kind FaultBase64.
func DecodeBase64(line []byte) ([]byte, error) {
	// The decoder of the library skips CR and LF; none gets here from a line,
	// but this function does not rely on it.
	for _, c := range line {
		if c == '\r' || c == '\n' {
			return nil, fault(FaultBase64, "", "the response is not base64")
		}
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(b, line)
	if err != nil {
		return nil, fault(FaultBase64, "", "the response is not base64")
	}
	return b[:n], nil
}

// AppendBase64 appends one line of an AUTH exchange, without CRLF, to dst.
func AppendBase64(dst, response []byte) []byte { return base64.StdEncoding.AppendEncode(dst, response) }

// ParseBdat reads the argument of BDAT: chunk-size [SP "LAST"] (rfc3030#2).
// size is how many octets follow the command, whether it can be read or not:
// after an error they are to be skipped. It is 0 where the argument announces
// none.
func ParseBdat(arg string) (size int64, last bool, err error) {
	digits, word, more := strings.Cut(arg, " ")
	if digits == "" || !isDigits(digits) {
		return 0, false, fault(FaultSyntax, "", "BDAT size [LAST]")
	}
	size, err = strconv.ParseInt(digits, 10, 64)
	if err != nil {
		size = math.MaxInt64
	}
	if more && !strings.EqualFold(word, "LAST") {
		return size, false, fault(FaultSyntax, "", "BDAT size [LAST]")
	}
	return size, more, nil
}
