// Package roster reads files in which other programs keep accounts: Dovecot's
// passwd-file, Apache's htpasswd, and CSV with a heading.
//
// It promises one entry a line, in a bounded memory whatever the file's size:
// a line that cannot be used is told with its number, the rule that it breaks
// and the next step, and the lines after it are read all the same. What a line
// says is not quoted in an error, since the field that is wrong may be the
// password. It does not judge logins and hashes: control does.
//
//	user:password:uid:gid:gecos:home:shell:extra fields   passwd-file
//	user:hash                                             htpasswd
//	login,password,hash,identities,disabled,app_only,lang CSV, in any order
package roster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Format is how a file is written.
type Format string

// The formats.
const (
	// Auto is what the first line looks like.
	Auto       Format = "auto"
	PasswdFile Format = "passwd-file"
	Htpasswd   Format = "htpasswd"
	CSV        Format = "csv"
)

// MaxLine is the longest line that is read, in octets.
const MaxLine = 16 << 10

// Entry is an account as a file tells of it. What the file does not say is nil.
type Entry struct {
	// Line is its number in the file, from 1.
	Line int `json:"line"`
	// Login may lack its domain.
	Login string `json:"login"`
	// Password is the main password itself, and Hash what another program keeps of
	// it, as it stands in the file; one of them is "", or both.
	Password   string   `json:"password,omitempty"`
	Hash       string   `json:"hash,omitempty"`
	Identities []string `json:"identities,omitempty"`
	Disabled   *bool    `json:"disabled,omitempty"`
	AppOnly    *bool    `json:"app_only,omitempty"`
	Lang       *string  `json:"lang,omitempty"`
	// Ignored names the settings of the line that have no meaning here.
	Ignored []string `json:"ignored,omitempty"`
}

// LineError says why a line cannot be used; the next one may be.
type LineError struct {
	Line int
	Why  string
}

// Error is «line 17: why».
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Why) }

// Reader reads the entries of a file.
type Reader struct {
	in     *bufio.Reader
	format Format
	line   int
	octets int64
	// columns are those of the heading of a CSV file.
	columns []column
	comma   rune
}

// NewReader returns a Reader of a file in the format f.
func NewReader(file io.Reader, f Format) *Reader {
	return &Reader{in: bufio.NewReaderSize(file, MaxLine), format: f}
}

// Format is the format of the file; of Auto, after the first Next.
func (r *Reader) Format() Format { return r.format }

// Line is the number of lines that have been read, and Octets their length.
func (r *Reader) Line() int { return r.line }

// Octets is how much of the file has been read.
func (r *Reader) Octets() int64 { return r.octets }

// Next returns the next entry. The error is io.EOF at the end, a *LineError for
// a line that cannot be used, and any other means that the file cannot be.
func (r *Reader) Next() (Entry, error) {
	for {
		text, err := r.readLine()
		if err != nil {
			return Entry{}, err
		}
		if blank(text) {
			continue
		}
		if r.format == Auto {
			if r.format = guess(text); r.format == Auto {
				return Entry{}, fmt.Errorf("line %d tells no format: it has neither a ':' nor the headings of a CSV file, such as login,password; name the format with --format", r.line)
			}
		}
		if r.format == CSV && r.columns == nil {
			if err := r.heading(text); err != nil {
				return Entry{}, fmt.Errorf("line %d: %w", r.line, err)
			}
			continue
		}
		var e Entry
		if r.format == CSV {
			e, err = r.record(text)
		} else {
			e, err = colons(text)
		}
		if err != nil {
			return Entry{}, &LineError{r.line, err.Error()}
		}
		e.Line = r.line
		return e, nil
	}
}

// blank reports whether a line is empty or a comment.
func blank(text string) bool {
	text = strings.TrimSpace(text)
	return text == "" || text[0] == '#'
}

// readLine reads a line without its end. One that is too long is read to its
// end, so that the next one is whole.
func (r *Reader) readLine() (string, error) {
	text, err := r.in.ReadSlice('\n')
	if len(text) == 0 && err != nil {
		return "", err
	}
	r.line++
	r.octets += int64(len(text))
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			text, err = r.in.ReadSlice('\n')
			r.octets += int64(len(text))
		}
		return "", &LineError{r.line, fmt.Sprintf("it is longer than %d octets; look whether the file has line ends", MaxLine)}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	text = bytes.TrimRight(text, "\r\n")
	if r.line == 1 {
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
	}
	if !utf8.Valid(text) {
		return "", &LineError{r.line, "it is not UTF-8; convert the file first, such as with: iconv -f latin1 -t utf-8"}
	}
	return string(text), nil
}

// guess tells the format of a file by its first line; Auto if it cannot.
func guess(text string) Format {
	login, rest, ok := strings.Cut(text, ":")
	switch {
	case !ok:
		if _, _, err := parseHeading(text); err == nil {
			return CSV
		}
		return Auto
	case strings.TrimSpace(login) == "":
		return Auto
	case strings.Contains(rest, ":"), strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, "{SHA}"):
		return PasswdFile
	}
	return Htpasswd
}
