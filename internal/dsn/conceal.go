package dsn

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/address"
)

// The marks that stand for a replacement until all are made. Text that is
// searched has no control characters.
const (
	markOriginal = "\x01"
	markLocal    = "\x02"
	markHidden   = "\x03"
)

// hiddenWord stands for a host name that would tell the target's domain.
const hiddenWord = "[hidden]"

// conceal takes a private target out of another server's words: the address
// becomes the one that the sender wrote, the local part alone its local part,
// and every name in the target's domain a mark. Case, quoting and the two forms
// of an internationalized domain do not matter. ok is false if something of the
// target may still be read in it, divided over lines for example; the text is
// then not to be shown at all.
//
// A local part of one or two letters is only replaced before "@", "%" or "=",
// since it may be any word. What a server says about its own name beyond the
// target's domain stays.
func conceal(text string, target, original address.Mailbox) (concealed string, ok bool) {
	text = strip(text)
	domains := []string{target.Domain.String(), target.Domain.Unicode()}
	locals := []string{target.Local, address.Mailbox{Local: target.Local}.String()}
	if base, _, tagged := strings.Cut(target.Local, "+"); tagged && base != "" {
		locals = append(locals, base)
	}
	for _, d := range domains {
		for _, l := range locals[:2] {
			text = replaceWord(text, l+"@"+d, markOriginal, isAddressRune, isHostRune)
		}
	}
	text = replaceWord(text, original.String(), markOriginal, isAddressRune, isHostRune)
	text = replaceWord(text, original.Unicode(), markOriginal, isAddressRune, isHostRune)
	for _, l := range locals {
		if !strings.EqualFold(l, original.Local) {
			text = replaceLocal(text, l)
		}
	}
	sameDomain := target.Domain == original.Domain
	if !sameDomain {
		for _, d := range domains {
			text = replaceHosts(text, d)
		}
	}
	if stillTells(text, target, original, sameDomain) {
		return "", false
	}
	local := original.Local
	return strings.NewReplacer(markOriginal, original.String(), markLocal, local, markHidden, hiddenWord).Replace(text), true
}

// replaceWord replaces old, in any case, where it does not go on before or
// after in a longer word of the same kind.
func replaceWord(s, old, mark string, before, after func(rune) bool) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if n := matchFold(s[i:], old); n > 0 && begins(s, i, before) && !continues(s[i+n:], after) {
			b.WriteString(mark)
			i += n
			continue
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		b.WriteString(s[i : i+n])
		i += n
	}
	return b.String()
}

// begins reports whether a word begins at s[i:]: what is before is not in the
// word, or is an escaped octet as links and MIME write it, "%40" or "=40".
func begins(s string, i int, in func(rune) bool) bool {
	prev, n := utf8.DecodeLastRuneInString(s[:i])
	return n == 0 || !in(prev) || endsEscaped(s[:i])
}

func endsEscaped(s string) bool {
	n := len(s)
	return n >= 3 && (s[n-3] == '%' || s[n-3] == '=') && isHex(s[n-2]) && isHex(s[n-1])
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// continues reports whether a word goes on in s; a dot that ends a sentence
// does not.
func continues(s string, in func(rune) bool) bool {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || !in(r) {
		return false
	}
	if r == '.' || r == '-' {
		next, _ := utf8.DecodeRuneInString(s[n:])
		return isWordRune(next)
	}
	return true
}

// replaceLocal replaces a local part that stands alone.
func replaceLocal(s, local string) string {
	if len(local) >= 3 {
		return replaceWord(s, local, markLocal, isWordRune, isWordRune)
	}
	for _, at := range []string{"@", "%", "="} {
		s = replaceWord(s, local+at, markLocal+at, isWordRune, func(rune) bool { return false })
	}
	return s
}

// replaceHosts replaces a domain and every host name in it.
func replaceHosts(s, domain string) string {
	var b strings.Builder
	done := 0 // s up to here is in b
	for i := 0; i < len(s); {
		n := matchFold(s[i:], domain)
		if n == 0 || !begins(s, i, isHostRune) && s[i-1] != '.' || continues(s[i+n:], isHostRune) {
			_, size := utf8.DecodeRuneInString(s[i:])
			i += size
			continue
		}
		start := i
		for start > done {
			r, size := utf8.DecodeLastRuneInString(s[done:start])
			if !isHostRune(r) || endsEscaped(s[done:start]) {
				break
			}
			start -= size
		}
		b.WriteString(s[done:start])
		b.WriteString(markHidden)
		i += n
		done = i
	}
	b.WriteString(s[done:])
	return b.String()
}

// stillTells looks for the target in what is left, blanks and marks apart.
func stillTells(text string, target, original address.Mailbox, sameDomain bool) bool {
	squashed := squash(text)
	for _, own := range []string{original.String(), original.Unicode()} {
		squashed = strings.ReplaceAll(squashed, squash(own), " ")
	}
	local := squash(target.Local)
	for _, d := range []string{target.Domain.String(), target.Domain.Unicode()} {
		d = squash(d)
		if strings.Contains(squashed, local+"@"+d) || strings.Contains(squashed, local+"40"+d) || !sameDomain && strings.Contains(squashed, "@"+d) {
			return true
		}
	}
	return len(local) >= 3 && !strings.EqualFold(target.Local, original.Local) && strings.Contains(squashed, local+"@")
}

// squash leaves letters, digits and the marks of addresses, in lower case.
func squash(s string) string {
	return strings.Map(func(r rune) rune {
		if isAddressRune(r) || r == '@' || r < ' ' {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// matchFold returns how much of the head of s equals old in any case, 0 if it
// does not.
func matchFold(s, old string) int {
	if old == "" {
		return 0
	}
	n := 0
	for _, want := range old {
		r, size := utf8.DecodeRuneInString(s[n:])
		if size == 0 || r != want && unicode.ToLower(r) != unicode.ToLower(want) {
			return 0
		}
		n += size
	}
	return n
}

func isWordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r)
}

func isHostRune(r rune) bool { return isWordRune(r) || r == '.' || r == '-' || r == '_' }

func isAddressRune(r rune) bool { return isHostRune(r) || r == '+' }
