package web

import (
	"slices"
	"strconv"

	"github.com/onwardmail/onward/internal/reference"
)

// maxCodeLength is the longest code that is looked at; "5.999.999" has nine
// octets and the longest name of a reply some thirty.
const maxCodeLength = 40

// canonical is the one spelling of a code that the reference knows: "550",
// "5.7.26", "X.7.26".
func canonical(code string) (string, bool) {
	if len(code) > maxCodeLength {
		return "", false
	}
	return reference.Canonical(code)
}

func enhancedName(class, subject, detail int) string {
	digit := "X"
	if class != 0 {
		digit = strconv.Itoa(class)
	}
	return digit + "." + strconv.Itoa(subject) + "." + strconv.Itoa(detail)
}

// before is the order of the codes of a pair: basic codes first, each kind by
// number.
func before(a, b string) bool {
	ka, kb := sortKey(a), sortKey(b)
	return slices.Compare(ka[:], kb[:]) < 0
}

func sortKey(code string) [4]int {
	if n, err := strconv.Atoi(code); err == nil {
		return [4]int{0, n}
	}
	class, subject, detail, _ := reference.SplitEnhanced(code)
	return [4]int{1, class, subject, detail}
}

// ink is the style class of a code's class: c2 to c5, cx for a code of any
// class, c0 for what is not SMTP.
func ink(code string) string {
	switch {
	case code == "":
		return "c0"
	case code[0] == 'X':
		return "cx"
	case code[0] >= '2' && code[0] <= '5':
		return "c" + code[:1]
	}
	return "c0"
}

func inkOf(b reference.Basic) string {
	if b.Kind == "client-side" {
		return "c0"
	}
	return ink(strconv.Itoa(b.Code))
}
