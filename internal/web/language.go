package web

import (
	"slices"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// Limits of an Accept-Language header: what lies beyond is not looked at.
const (
	maxAccept      = 512
	maxAcceptItems = 16
)

// accepted chooses the language of a visitor who did not name one in the
// address (rfc9110#12.5.4): the best rated that we speak, else the fallback.
func (s *site) accepted(header string) reference.Language {
	type wish struct {
		tag     string
		quality float64
	}
	if len(header) > maxAccept {
		header = header[:maxAccept]
	}
	var wishes []wish
	for item := range strings.SplitSeq(header, ",") {
		if len(wishes) == maxAcceptItems {
			break
		}
		tag, parameters, _ := strings.Cut(strings.TrimSpace(item), ";")
		quality := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(parameters), "q="); ok {
			quality, _ = strconv.ParseFloat(q, 64)
		}
		if tag = strings.TrimSpace(tag); tag != "" && quality > 0 && quality <= 1 {
			wishes = append(wishes, wish{tag, quality})
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int {
		switch {
		case a.quality > b.quality:
			return -1
		case a.quality < b.quality:
			return 1
		}
		return 0
	})
	for _, w := range wishes {
		primary, _, _ := strings.Cut(w.tag, "-")
		for _, l := range s.languages {
			if strings.EqualFold(l.Tag, primary) {
				return l
			}
		}
	}
	return s.languages[0]
}

// language finds one by the first segment of an address.
func (s *site) language(tag string) (reference.Language, bool) {
	for _, l := range s.languages {
		if l.Tag == tag {
			return l, true
		}
	}
	return reference.Language{}, false
}
