package reference

import "slices"

// maxSuggestions bounds the pairs that are offered.
const maxSuggestions = 4

// suggest offers the pairs that the reader probably meant: for each code first
// those with a note by hand, then those that people confuse with it.
func (p pair) suggest() [][2]string {
	var list [][2]string
	for _, s := range [...]side{p.a, p.b} {
		n := 0
		for _, other := range confusedWith(s) {
			if n == maxSuggestions/2 {
				break
			}
			q := pairOf(s.shown, other, p.lang)
			if q.relation != RelationCompeting || other == p.a.shown || other == p.b.shown {
				continue
			}
			if !slices.Contains(list, [2]string{other, s.shown}) && !slices.Contains(list, [2]string{s.shown, other}) {
				list = append(list, [2]string{s.shown, other})
				n++
			}
		}
	}
	return list
}

// confusedWith lists codes that people confuse with s.
func confusedWith(s side) []string {
	if !s.ok {
		return nil
	}
	facts := numbers(s.compare)
	if s.enhanced {
		facts = neighbours(s.shown)
	}
	noted := func(other string) bool {
		_, ok := Sentence(Fallback, "pair."+pairKey(s.shown, other)+".note")
		return ok
	}
	list := slices.DeleteFunc(slices.Clone(facts), func(other string) bool { return !noted(other) })
	for _, other := range facts {
		if !slices.Contains(list, other) {
			list = append(list, other)
		}
	}
	return list
}

// neighbours lists the registered codes of the same subject with the class of
// code, the nearest detail first.
func neighbours(code string) []string {
	_, subject, detail, _ := SplitEnhanced(code)
	type near struct {
		code string
		far  int
	}
	var found []near
	for _, e := range Enhanceds() {
		if _, s, d, _ := SplitEnhanced(e.Code); s == subject && d != detail {
			found = append(found, near{code[:1] + e.Code[1:], max(d-detail, detail-d)})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.far - b.far })
	list := make([]string, len(found))
	for i, n := range found {
		list[i] = n.code
	}
	return list
}
