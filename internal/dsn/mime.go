package dsn

import (
	"bytes"
	"encoding/base64"
	htmlpkg "html"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"

	"github.com/onwardmail/onward/internal/message"
)

// Limits of what is read of a stranger's report.
const (
	maxDepth  = 8       // parts within parts
	maxParts  = 200     // parts in all
	maxStatus = 1 << 20 // octets of a decoded part
)

// entity is one MIME entity: a message or a part of one.
type entity struct {
	header message.Header
	// kind is the media type in lower case.
	kind   string
	params map[string]string
	body   []byte
}

// readEntity reads what it can: without a usable Content-Type it is
// text/plain (rfc2045#5.2).
func readEntity(content []byte) entity {
	e := entity{kind: "text/plain"}
	h, err := message.ParseHeader(content)
	if err != nil {
		return e
	}
	e.header = h
	e.body = content[h.Size():]
	value := h.Value("Content-Type")
	if value == "" {
		return e
	}
	kind, params, err := mime.ParseMediaType(value)
	if kind == "" {
		// Parameters that cannot be read at all leave the type.
		kind, _, _ = strings.Cut(value, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
	}
	if err != nil && params["boundary"] == "" {
		params = map[string]string{"boundary": looseBoundary(value)}
	}
	e.kind, e.params = kind, params
	return e
}

// looseBoundary finds a boundary in a Content-Type that is not well formed.
func looseBoundary(value string) string {
	const name = "boundary="
	i := strings.Index(strings.ToLower(value), name)
	if i < 0 || len(strings.ToLower(value)) != len(value) {
		return ""
	}
	rest := value[i+len(name):]
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		rest, _, _ = strings.Cut(quoted, `"`)
		return rest
	}
	rest, _, _ = strings.Cut(rest, ";")
	return strings.TrimSpace(rest)
}

// children returns the entities inside e: the parts of a multipart, or the
// message in a message/rfc822.
func (e entity) children() []entity {
	switch {
	case strings.HasPrefix(e.kind, "multipart/"):
		var all []entity
		for _, content := range splitParts(e.body, e.params["boundary"]) {
			all = append(all, readEntity(content))
		}
		return all
	case e.kind == "message/rfc822" || e.kind == "message/global":
		return []entity{readEntity(e.decoded())}
	}
	return nil
}

// splitParts divides the body of a multipart at its delimiter lines
// (rfc2046#5.1.1). A missing last delimiter is forgiven.
func splitParts(body []byte, boundary string) [][]byte {
	if boundary == "" {
		return nil
	}
	delimiter := []byte("--" + boundary)
	var parts [][]byte
	start := -1 // where the open part begins
	for pos := 0; pos < len(body) && len(parts) < maxParts; {
		end := len(body)
		if i := bytes.IndexByte(body[pos:], '\n'); i >= 0 {
			end = pos + i + 1
		}
		rest, ok := bytes.CutPrefix(body[pos:end], delimiter)
		rest = bytes.TrimRight(rest, " \t\r\n")
		if last := string(rest) == "--"; ok && (last || len(rest) == 0) {
			if start >= 0 {
				parts = append(parts, trimLineEnd(body[start:pos]))
			}
			start = end
			if last {
				return parts
			}
		}
		pos = end
	}
	if start >= 0 && start < len(body) && len(parts) < maxParts {
		parts = append(parts, body[start:])
	}
	return parts
}

// trimLineEnd removes the line end that belongs to the delimiter after it.
func trimLineEnd(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}

// decoded returns the body without its transfer encoding, at most maxStatus
// octets; what cannot be decoded ends it.
func (e entity) decoded() []byte {
	var r io.Reader
	switch strings.ToLower(e.header.Value("Content-Transfer-Encoding")) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(e.body))
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(e.body))
	default:
		return e.body
	}
	b, _ := io.ReadAll(io.LimitReader(r, maxStatus)) // what came before an error is what there is
	return b
}

// Readable returns the text for people in a message: its first part that is
// plain text, else its first part of HTML without the marks, decoded, at most
// maxStatus octets. A message that came back inside is not looked at.
func Readable(content []byte) string {
	var plain, html string
	level := []entity{readEntity(content)}
	for depth := 0; depth < maxDepth && len(level) > 0; depth++ {
		var next []entity
		for _, e := range level {
			switch {
			case e.kind == "text/plain" && plain == "":
				plain = strings.ToValidUTF8(string(e.decoded()), "\uFFFD")
			case e.kind == "text/html" && html == "":
				html = withoutMarks(strings.ToValidUTF8(string(e.decoded()), "\uFFFD"))
			case strings.HasPrefix(e.kind, "multipart/"):
				next = append(next, e.children()...)
			}
		}
		level = next
	}
	if strings.TrimSpace(plain) != "" {
		return plain
	}
	return html
}

// withoutMarks takes the tags out of HTML: what people would read of it.
func withoutMarks(s string) string {
	var b strings.Builder
	for s != "" {
		text, rest, ok := strings.Cut(s, "<")
		b.WriteString(htmlpkg.UnescapeString(text))
		if !ok {
			break
		}
		tag, after, _ := strings.Cut(rest, ">")
		name := strings.ToLower(strings.TrimLeft(tag, "/"))
		for _, skip := range [...]string{"style", "script"} {
			if strings.HasPrefix(name, skip) && tag[0] != '/' {
				if _, end, found := strings.Cut(after, "</"+skip); found {
					_, after, _ = strings.Cut(end, ">")
				}
			}
		}
		for _, block := range [...]string{"br", "p", "div", "tr", "li", "h1", "h2", "h3", "td"} {
			if name == block || strings.HasPrefix(name, block+" ") || strings.HasPrefix(name, block+"/") {
				b.WriteByte('\n')
				break
			}
		}
		s = after
	}
	return b.String()
}
