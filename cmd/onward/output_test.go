package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"
)

func newTestPrinter(width int) (*printer, *bytes.Buffer) {
	var b bytes.Buffer
	return &printer{w: bufio.NewWriter(&b), direct: &b, width: width}, &b
}

func TestTable(t *testing.T) {
	rows := func() *table {
		t := newTable("ID", "STATE", "TEXT")
		t.add(plain("1"), plain("waiting"), plain("a rather long text that must be wrapped"))
		t.add(plain("22"), plain("日本"), plain("\x1b[31mred\nline"))
		return t
	}
	for width, want := range map[int]string{
		0: "ID  STATE    TEXT\n" +
			"1   waiting  a rather long text that must be wrapped\n" +
			"22  日本     \\x1b[31mred\\x0aline\n",
		34: "ID  STATE    TEXT\n" +
			"1   waiting  a rather long text\n" +
			"             that must be wrapped\n" +
			"22  日本     \\x1b[31mred\\x0aline\n",
		27: "id     1\nstate  waiting\ntext   a rather long text\n       that must be wrapped\n" +
			"\nid     22\nstate  日本\ntext   \\x1b[31mred\\x0aline\n",
	} {
		p, b := newTestPrinter(width)
		p.table(rows(), "")
		p.flush()
		if b.String() != want {
			t.Errorf("at %d columns:\n%s\nwant:\n%s", width, b, want)
		}
	}
	p, b := newTestPrinter(0)
	p.table(newTable("A"), "Nothing.")
	p.flush()
	if b.String() != "Nothing.\n" {
		t.Errorf("an empty table is %q, want %q", b, "Nothing.\n")
	}
}

func TestWrapText(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 5, ""},
		{"abc", 5, "abc"},
		{"abc def", 5, "abc|def"},
		{"abcdefgh", 5, "abcde|fgh"},
		{"ab  cd", 4, "ab|cd"},
		{"再試行します。", 6, "再試行|しま|す。"},
		{"ab 再試行", 5, "ab 再|試行"},
		{"a b c d", 3, "a b|c d"},
	} {
		got := wrapText(test.text, test.width)
		if strings.Join(got, "|") != test.want {
			t.Errorf("wrapText(%q, %d) = %q, want %q", test.text, test.width, got, test.want)
		}
	}
}

func TestSpan(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "now", 5 * time.Second: "in 5 s", -90 * time.Second: "1 min ago", 3 * time.Hour: "in 3 h", 120 * time.Hour: "in 5 days",
	} {
		if got := span(now.Add(d), now); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
	if got := span(time.Time{}, now); got != "" {
		t.Errorf("span of no time = %q, want nothing", got)
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1500: "1.5 kB", 2_000_000: "2.0 MB", 3_100_000_000: "3.1 GB"} {
		if got := octets(n); got != want {
			t.Errorf("octets(%d) = %q, want %q", n, got, want)
		}
	}
}
