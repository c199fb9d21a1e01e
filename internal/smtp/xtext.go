package smtp

import "strings"

const upperHex = "0123456789ABCDEF"

// DecodeXtext reads xtext = *( xchar / hexchar ) (rfc3461#4): printable ASCII
// but "+" and "=", and "+" with two hexadecimal digits for any octet. Small
// letters among the digits are tolerated.
func DecodeXtext(s string) (string, bool) {
	plain := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			plain = false
		case c < '!' || c > '~' || c == '=':
			return "", false
		}
	}
	if plain {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi := strings.IndexByte(upperHex, upper(s[i+1]))
		lo := strings.IndexByte(upperHex, upper(s[i+2]))
		if hi < 0 || lo < 0 {
			return "", false
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), true
}

// EncodeXtext writes any octets as xtext (rfc3461#4).
func EncodeXtext(s string) string {
	i := 0
	for i < len(s) && isXchar(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := append(make([]byte, 0, len(s)+8), s[:i]...)
	for ; i < len(s); i++ {
		if c := s[i]; isXchar(c) {
			b = append(b, c)
		} else {
			b = append(b, '+', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

func isXchar(c byte) bool { return c >= '!' && c <= '~' && c != '+' && c != '=' }

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}
