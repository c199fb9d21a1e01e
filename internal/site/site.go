// Package site writes the reference as files that any web server can host, or
// a person can carry on a stick.
//
// It asks the pages of package web for themselves, from the first page of each
// language on, follows every link, and writes each page to a folder of its own
// as index.html. Links become relative, so that the site may lie at any path
// of a server. It promises that every link of what it wrote leads to a file
// that it wrote; a link that does not is an error, and names both ends.
//
// It opens no sockets: the pages are made in this process.
package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// Options say what to write and where.
type Options struct {
	// Handler serves the pages, made for a site without a server behind it.
	Handler http.Handler
	// Dir is the folder to write to. It is made; files that are there already are
	// written over.
	Dir string
	// Languages are the tags of those to write; none: all.
	Languages []string
	// AllPairs writes the comparison of any two basic codes, not only of those
	// that some page links to.
	AllPairs bool
	// Progress, if not nil, is told after each page how many are written and how
	// many are known of.
	Progress func(written, known int)
}

// Result counts what was written.
type Result struct {
	Pages  int   `json:"pages"`
	Files  int   `json:"files"`
	Octets int64 `json:"octets"`
	Links  int   `json:"links"`
}

// Build writes the site. An error leaves what is written so far.
func Build(ctx context.Context, o Options) (Result, error) {
	b := &builder{Options: o, known: make(map[string]string)}
	if len(b.Languages) == 0 {
		for _, l := range reference.Languages() {
			b.Languages = append(b.Languages, l.Tag)
		}
	}
	for _, tag := range b.Languages {
		b.need("/"+tag+"/", "the start")
		if o.AllPairs {
			b.pairs(tag)
		}
	}
	for b.next < len(b.queue) {
		if err := ctx.Err(); err != nil {
			return b.result, fmt.Errorf("write the site: %w", err)
		}
		address := b.queue[b.next]
		b.next++
		if err := b.page(ctx, address); err != nil {
			return b.result, err
		}
		if o.Progress != nil {
			o.Progress(b.next, len(b.queue))
		}
	}
	return b.result, b.start()
}

type builder struct {
	Options
	known  map[string]string // address → the page that led there
	queue  []string
	next   int
	result Result
}

// need puts an address on the list, once.
func (b *builder) need(address, from string) {
	if _, ok := b.known[address]; !ok {
		b.known[address] = from
		b.queue = append(b.queue, address)
	}
}

func (b *builder) pairs(tag string) {
	list := reference.Basics()
	for i := range list {
		for j := i + 1; j < len(list); j++ {
			b.need(fmt.Sprintf("/%s/compare/%d-%d", tag, list[i].Code, list[j].Code), "the list of all pairs")
		}
	}
}

// answer is what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// fetch asks for an address and follows redirects to its own.
func (b *builder) fetch(ctx context.Context, address string) (*answer, string, error) {
	for range maxRedirects {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, "", fmt.Errorf("ask for %s: %w", address, err)
		}
		a := &answer{header: make(http.Header)}
		b.Handler.ServeHTTP(a, r)
		if a.status < 300 || a.status > 399 {
			return a, address, nil
		}
		address = a.header.Get("Location")
		address, _, _ = strings.Cut(address, "#")
	}
	return nil, "", fmt.Errorf("%s leads on and on", address)
}

// maxRedirects bounds how often a page may lead to another.
const maxRedirects = 3

// page makes one page and writes it.
func (b *builder) page(ctx context.Context, address string) error {
	a, at, err := b.fetch(ctx, address)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("the link to %s on %s is broken: %d %s", address, b.known[address], a.status, http.StatusText(a.status))
	}
	body := a.body.Bytes()
	if at != address {
		// Both addresses are kept: the old one leads on.
		b.need(at, address)
		body = leadOn(at)
	}
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		b.result.Pages++
		if body, err = b.rewrite(address, body); err != nil {
			return err
		}
	}
	return b.write(address, body)
}

// fileOf is the file of an address: a page is the index of its folder.
func fileOf(address string) string {
	if strings.HasSuffix(address, "/") {
		return address + "index.html"
	}
	if ext := path.Ext(address); ext != "" && slices.Contains([]string{".css", ".svg", ".js", ".json", ".png", ".ico", ".txt", ".xml"}, ext) {
		return address
	}
	return address + "/index.html"
}

func (b *builder) write(address string, body []byte) error {
	name := filepath.Join(b.Dir, filepath.FromSlash(fileOf(address)))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("make a folder of the site: %w", err)
	}
	if err := os.WriteFile(name, body, 0o644); err != nil {
		return fmt.Errorf("write a page of the site: %w", err)
	}
	b.result.Files++
	b.result.Octets += int64(len(body))
	return nil
}

// reference in the HTML of our own templates, which write double quotes.
var link = regexp.MustCompile(`\b(href|src|action|data-index|data-root|data-pair)="(/[^"]*)"`)

// rewrite makes the links of a page relative and notes where they lead. A
// language that is not written is not linked to.
func (b *builder) rewrite(address string, body []byte) ([]byte, error) {
	var wrong error
	out := link.ReplaceAllFunc(body, func(m []byte) []byte {
		parts := link.FindSubmatch(m)
		kind, target := string(parts[1]), html.UnescapeString(string(parts[2]))
		to, fragment, _ := strings.Cut(target, "#")
		to, query, _ := strings.Cut(to, "?")
		if query != "" {
			wrong = fmt.Errorf("%s links to %s, which only a server could answer", address, target)
			return m
		}
		switch kind {
		case "data-root", "data-pair":
		default:
			b.result.Links++
			if b.foreign(to) {
				to = "/" + b.Languages[0] + "/"
			}
			b.need(to, address)
		}
		relative := relativeTo(address, to)
		if fragment != "" {
			relative += "#" + fragment
		}
		return []byte(kind + `="` + html.EscapeString(relative) + `"`)
	})
	return out, wrong
}

// foreign reports whether an address is of a language that is not written.
func (b *builder) foreign(address string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(address, "/"), "/")
	spoken := slices.ContainsFunc(reference.Languages(), func(l reference.Language) bool { return l.Tag == first })
	return spoken && !slices.Contains(b.Languages, first)
}

// relativeTo is the way from the file of one address to that of another.
func relativeTo(from, to string) string {
	dir := path.Dir(fileOf(from))
	target := fileOf(to)
	rel, err := filepath.Rel(filepath.FromSlash(dir), filepath.FromSlash(target))
	if err != nil {
		return to
	}
	rel = filepath.ToSlash(rel)
	if page, ok := strings.CutSuffix(rel, "index.html"); ok {
		rel = page
		if rel == "" {
			rel = "./"
		}
	}
	return rel
}

// leadOn is a page that does nothing but lead to another.
func leadOn(to string) []byte {
	return fmt.Appendf(nil, `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Onward</title>`+
		`<meta name="robots" content="noindex"><link rel="canonical" href="%[1]s"></head><body><p><a href="%[1]s">%[1]s</a></p></body></html>`+"\n",
		html.EscapeString((&url.URL{Path: to}).String()))
}

// start writes the first page, which leads to the languages.
func (b *builder) start() error {
	var s strings.Builder
	s.WriteString("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Onward</title>\n")
	fmt.Fprintf(&s, "<meta http-equiv=\"refresh\" content=\"0; url=%s/\">\n</head><body><main><h1>Onward</h1><ul>\n", b.Languages[0])
	for _, l := range reference.Languages() {
		if slices.Contains(b.Languages, l.Tag) {
			fmt.Fprintf(&s, "<li><a href=\"%s/\" lang=\"%[1]s\" hreflang=\"%[1]s\">%s</a></li>\n", l.Tag, html.EscapeString(l.Name))
		}
	}
	s.WriteString("</ul></main></body></html>\n")
	return b.write("/", []byte(s.String()))
}

// ErrNotEmpty means that a folder holds something that is no site of ours.
var ErrNotEmpty = errors.New("the folder is not empty")

// marker is a file by which a folder is known to be a site that was written
// before.
const marker = ".onward-site"

// Prepare makes sure that a folder may be written to: it is new, empty, or a
// site written before, of which old pages are removed.
func Prepare(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look into %s: %w", dir, err)
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
			return fmt.Errorf("%w: %s holds other files; name a new folder", ErrNotEmpty, dir)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("remove the old site: %w", err)
			}
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the site: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, marker), nil, 0o644); err != nil {
		return fmt.Errorf("write into the folder of the site: %w; name one that this user may write to", err)
	}
	return nil
}
