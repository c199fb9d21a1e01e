package web

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// searchIndex is the file that the script of a static site searches.
const searchIndex = "search-index.json"

// indexed is a document of the index: what is searched and shown, and where it
// is, from the folder of the language.
type indexed struct {
	reference.Document
	Path string `json:"path"`
}

// serveIndex answers with all documents of a language.
func (s *site) serveIndex(w http.ResponseWriter, p *page) {
	documents := reference.Documents(p.Lang.Tag)
	list := make([]indexed, 0, len(documents))
	for _, d := range documents {
		h := s.hit(p, reference.Hit{Kind: d.Kind, ID: d.ID, Code: d.Code, Title: d.Title, Snippet: d.Text})
		path, fragment, has := strings.Cut(strings.TrimPrefix(h.Path, p.Link("/")), "#")
		path += "/"
		if has {
			path += "#" + fragment
		}
		list = append(list, indexed{d, path})
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(list) //nolint:errcheck // it goes to memory
}
