package message

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const sample = "Received: from a by b;\r\n\tMon, 1 Jan 2026 00:00:00 +0000\r\n" +
	"received : from c by d; Mon, 1 Jan 2026 00:00:00 +0000\r\n" +
	"this line is no field\r\n" +
	"Subject: =?utf-8?q?caf=C3=A9?=\r\n =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n" +
	"X-Empty:\r\n" +
	"To: anna@example.org\r\n" +
	"\r\n" +
	"Received: not a field, but the body\r\n"

func TestParseHeader(t *testing.T) {
	h, err := ParseHeader([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Index(sample, "\r\n\r\n") + 4; h.Size() != want || HeaderSize([]byte(sample)) != want {
		t.Errorf("size %d and %d, want %d", h.Size(), HeaderSize([]byte(sample)), want)
	}
	var names []string
	for i, f := range h.Fields() {
		names = append(names, f.Name())
		if f.Index != i {
			t.Errorf("field %d has index %d", i, f.Index)
		}
		if got := sample[f.Start : f.Start+len(f.Raw)]; got != string(f.Raw) {
			t.Errorf("field %d: the offset leads to %q, not %q", i, got, f.Raw)
		}
	}
	if got := strings.Join(names, ","); got != "Received,received,,Subject,X-Empty,To" {
		t.Errorf("names %s", got)
	}
	if h.Received() != 2 || h.Count("SUBJECT") != 1 || h.Has("") {
		t.Errorf("received %d, subject %d, nameless %t", h.Received(), h.Count("SUBJECT"), h.Has(""))
	}
	if got := h.Value("received"); got != "from a by b;\tMon, 1 Jan 2026 00:00:00 +0000" {
		t.Errorf("unfolded value %q", got)
	}
	if got := h.Text("subject"); got != "café日本" {
		t.Errorf("decoded subject %q", got)
	}
	if h.Value("x-empty") != "" || !h.Has("x-empty") {
		t.Error("an empty field is not seen as one")
	}
}

func TestParseHeaderEdges(t *testing.T) {
	for _, c := range []struct {
		name, content string
		size, fields  int
	}{
		{"nothing", "", 0, 0},
		{"empty line first", "\r\nbody\r\n", 2, 0},
		{"no header section", "hello\r\nworld\r\n", 0, 0},
		{"begins with white space", " a: b\r\n\r\n", 0, 0},
		{"mailbox file", "From anna Mon Jan  1 00:00:00 2026\r\nA: b\r\n\r\n", 44, 2},
		{"no empty line", "A: b\r\nC: d", 10, 2},
		{"LF alone", "A: b\nC: d\n e\n\nbody\n", 14, 2},
		{"colon first", ": b\r\n\r\n", 0, 0},
		{"space in the name", "A b: c\r\n\r\n", 0, 0},
		{"folded junk", "A: b\r\njunk\r\n more\r\n\r\n", 21, 2},
	} {
		h, err := ParseHeader([]byte(c.content))
		if err != nil || h.Size() != c.size || h.Len() != c.fields {
			t.Errorf("%s: size %d, %d fields, %v; want %d, %d", c.name, h.Size(), h.Len(), err, c.size, c.fields)
		}
	}
}

func TestParseHeaderTooManyFields(t *testing.T) {
	content := []byte(strings.Repeat("A: b\r\n", MaxFields) + "\r\n")
	if h, err := ParseHeader(content); err != nil || h.Len() != MaxFields {
		t.Fatalf("%d fields, %v", h.Len(), err)
	}
	content = append([]byte("B: c\r\n"), content...)
	if _, err := ParseHeader(content); !errors.Is(err, ErrHeaderTooLarge) {
		t.Fatalf("error %v", err)
	}
}

// FuzzParseHeader holds that no octet of a header section is lost or twice.
func FuzzParseHeader(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("a:\n\n"))
	f.Add([]byte("From x\r\n y\r\nA : b\r\n\r\n\r\n"))
	f.Add([]byte("A: b\r"))
	f.Fuzz(func(t *testing.T, content []byte) {
		h, err := ParseHeader(content)
		if err != nil {
			return
		}
		if h.Size() != HeaderSize(content) {
			t.Fatalf("sizes %d and %d", h.Size(), HeaderSize(content))
		}
		var joined []byte
		for _, field := range h.Fields() {
			joined = append(joined, field.Raw...)
			field.Text()
			if field.nameEnd > 0 && !field.Is(strings.ToUpper(field.Name())) {
				t.Fatalf("%q does not have its own name", field.Raw)
			}
			if bytes.ContainsAny([]byte(field.Value()), "\n") {
				t.Fatalf("value of %q is not unfolded", field.Raw)
			}
		}
		rest := h.Raw()[len(joined):]
		if !bytes.Equal(joined, content[:len(joined)]) || len(rest) > 0 && !isEmptyLine(rest) {
			t.Fatalf("fields %q of %q leave %q", joined, content, rest)
		}
		_, _ = h.Recipients(mustLocal())
	})
}
