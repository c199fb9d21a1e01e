package web

// rejected is the code before the reference of a rejected login.
const rejected = "535"

// loginView is the page behind the link in a 535.
type loginView struct {
	*page
	Reference string
}

// loginView makes it. It knows nothing but the form of the reference: whether
// such a login was ever tried is told to its owner alone, by the command that
// the page names, so a real reference and an invented one cannot be told apart
// by page, status or time.
func (s *site) loginView(p *page, ref string) *loginView {
	p.NoIndex, p.Title = true, p.T("login.title")+" · Onward"
	return &loginView{page: p, Reference: ref}
}

// isReference reports whether a text has the form of a reference: four groups
// of four letters or digits.
func isReference(s string) bool {
	if len(s) != len("abcd-efgh-jkmn-pqrs") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i%5 == 4:
			if c != '-' {
				return false
			}
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			return false
		}
	}
	return true
}
