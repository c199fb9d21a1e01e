package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

const small = "A: 1\r\nB: 2\r\n folded\r\nC: 3\r\n\r\nbody\r\n"

func apply(t testing.TB, l EditList, content string) string {
	t.Helper()
	h, err := ParseHeader([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Validate(h); err != nil {
		t.Fatal(err)
	}
	want := string(l.AppendHeader(nil, h)) + content[h.Size():]
	if l.Size(h, int64(len(content))) != int64(len(want)) {
		t.Fatalf("size %d, but the message has %d", l.Size(h, int64(len(content))), len(want))
	}
	for name, src := range map[string]io.Reader{
		"whole": strings.NewReader(content), "by octets": iotest.OneByteReader(strings.NewReader(content)),
		"end with data": iotest.DataErrReader(strings.NewReader(content)),
	} {
		r, err := NewReader(src, l)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Growth() != len(want)-len(content) {
			t.Fatalf("%s: growth %d, want %d", name, r.Growth(), len(want)-len(content))
		}
		if got, err := io.ReadAll(struct{ io.Reader }{r}); err != nil || string(got) != want {
			t.Fatalf("%s: read %q, %v; want %q", name, got, err, want)
		}
	}
	r, err := NewReader(strings.NewReader(content), l)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := r.WriteTo(&b); err != nil || n != int64(len(want)) || b.String() != want {
		t.Fatalf("wrote %q, %d, %v; want %q", b.String(), n, err, want)
	}
	return want
}

func TestEdits(t *testing.T) {
	first := Edit{Prepend, 0, "X: 1\r\n", "r"}
	second := Edit{Prepend, 0, "Y: 2\r\n\tmore\r\n", "r"}
	for _, c := range []struct {
		name, content, want string
		list                EditList
	}{
		{"none", small, small, nil},
		{"the last prepended is on top", small, "Y: 2\r\n\tmore\r\nX: 1\r\n" + small, EditList{first, second}},
		{"drop", small, "A: 1\r\nC: 3\r\n\r\nbody\r\n", EditList{{Drop, 1, "", "r"}}},
		{"drop all", small, "\r\nbody\r\n", EditList{{Drop, 1, "", "r"}, {Drop, 0, "", "r"}, {Drop, 2, "", "r"}}},
		{"replace", small, "X: 1\r\nA: 1\r\nB: 2\r\n folded\r\nD: 4\r\nE: 5\r\n\r\nbody\r\n", EditList{first, {Replace, 2, "D: 4\r\nE: 5\r\n", "r"}}},
		{"the later wins", small, "Z: 1\r\nB: 2\r\n folded\r\nC: 3\r\n\r\nbody\r\n", EditList{{Drop, 0, "", "r"}, {Replace, 0, "Z: 1\r\n", "r"}}},
		{"no header section", "hello\r\n", "X: 1\r\n\r\nhello\r\n", EditList{first}},
		{"empty header section", "\r\nhello\r\n", "X: 1\r\n\r\nhello\r\n", EditList{first}},
		{"no empty line", "A: 1\r\n", "X: 1\r\nA: 1\r\n", EditList{first}},
		{"nothing", "", "X: 1\r\n\r\n", EditList{first}},
	} {
		if got := apply(t, c.list, c.content); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCombine(t *testing.T) {
	message := EditList{{Prepend, 0, "M: 1\r\n", "r"}, {Drop, 0, "", "r"}}
	recipient := EditList{{Prepend, 0, "R: 1\r\n", "r"}}
	if got := apply(t, Combine(message, recipient), small); !strings.HasPrefix(got, "R: 1\r\nM: 1\r\nB:") {
		t.Errorf("combined %q", got)
	}
	if len(message) != 2 || len(Combine(message, nil)) != 2 || len(Combine(nil, recipient)) != 1 {
		t.Error("combining changed a list or lost one")
	}
}

func TestReaderLargeHeader(t *testing.T) {
	content := strings.Repeat("A: "+strings.Repeat("x", 100)+"\r\n", 1000) + "\r\nbody\r\n"
	got := apply(t, EditList{{Drop, 999, "", "r"}, {Prepend, 0, "X: 1\r\n", "r"}}, content)
	if len(got) != len(content)-105+6 {
		t.Errorf("%d octets from %d", len(got), len(content))
	}
	huge := strings.NewReader("A: " + strings.Repeat("x", MaxHeaderLimit+readAhead*5))
	if _, err := NewReader(huge, EditList{{Drop, 0, "", "r"}}); !errors.Is(err, ErrHeaderTooLarge) {
		t.Errorf("error %v", err)
	}
	broken := iotest.ErrReader(io.ErrClosedPipe)
	if _, err := NewReader(broken, EditList{{Prepend, 0, "X: 1\r\n", "r"}}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
}

func TestValidate(t *testing.T) {
	h, _ := ParseHeader([]byte(small))
	for name, e := range map[string]Edit{
		"no line end":        {Prepend, 0, "X: 1", "r"},
		"LF alone":           {Prepend, 0, "X: 1\n", "r"},
		"LF inside":          {Prepend, 0, "X: 1\nY: 2\r\n", "r"},
		"CR inside":          {Prepend, 0, "X: 1\rY: 2\r\n", "r"},
		"NUL":                {Prepend, 0, "X: \x00\r\n", "r"},
		"ends the header":    {Prepend, 0, "X: 1\r\n\r\n", "r"},
		"white line":         {Prepend, 0, "X: 1\r\n \t\r\n", "r"},
		"begins folded":      {Prepend, 0, " X: 1\r\n", "r"},
		"no name":            {Prepend, 0, "hello\r\n", "r"},
		"second has no name": {Replace, 0, "X: 1\r\nhello\r\n", "r"},
		"too long":           {Prepend, 0, "X: " + strings.Repeat("x", MaxLine-2) + "\r\n", "r"},
		"empty":              {Prepend, 0, "", "r"},
		"no such field":      {Drop, 3, "", "r"},
		"before the first":   {Replace, -1, "X: 1\r\n", "r"},
		"drop with text":     {Drop, 0, "X: 1\r\n", "r"},
		"no rule":            {Drop, 0, "", ""},
		"unknown kind":       {9, 0, "", "r"},
	} {
		if err := (EditList{e}).Validate(h); !errors.Is(err, ErrEdit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEditListCodec(t *testing.T) {
	field := rapid.Custom(func(t *rapid.T) Edit {
		e := Edit{Kind: EditKind(rapid.IntRange(1, 3).Draw(t, "kind")), Rule: rapid.String().Draw(t, "rule")}
		if e.Kind != Prepend {
			e.Field = rapid.IntRange(0, MaxFields-1).Draw(t, "field")
		}
		if e.Kind != Drop {
			e.Text = TextField("X", rapid.String().Draw(t, "text"))
		}
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		list := EditList(rapid.SliceOf(field).Draw(t, "list"))
		stored := list.Append([]byte("before"))
		got, err := DecodeEditList(stored[len("before"):])
		if err != nil || len(got) != len(list) {
			t.Fatalf("%v, %v", got, err)
		}
		for i := range got {
			if got[i] != list[i] {
				t.Fatalf("edit %d is %v, was %v", i, got[i], list[i])
			}
		}
	})
}

func TestDecodeEditListDamaged(t *testing.T) {
	stored := EditList{{Prepend, 0, "X: 1\r\n", "r"}, {Drop, 4, "", "rule"}}.Append(nil)
	for n := 1; n < len(stored); n++ {
		if _, err := DecodeEditList(stored[:n]); !errors.Is(err, ErrEncoding) {
			t.Errorf("cut to %d octets: %v", n, err)
		}
	}
	newer := append([]byte{2}, stored[1:]...)
	for name, b := range map[string][]byte{"longer": append(bytes.Clone(stored), 0), "newer": newer} {
		if _, err := DecodeEditList(b); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeEditList(f *testing.F) {
	f.Add(EditList{{Prepend, 0, "X: 1\r\n", "r"}, {Drop, 4, "", "rule"}}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := DecodeEditList(b)
		if err != nil {
			return
		}
		again, err := DecodeEditList(list.Append(nil))
		if err != nil || len(again) != len(list) {
			t.Fatalf("%v, %v", again, err)
		}
		apply(t, EditList{{Prepend, 0, "X: 1\r\n", "r"}}, string(b))
	})
}

func BenchmarkApply(b *testing.B) {
	content := typical()
	trace := Edit{Prepend, 0, "Received: from a by b; Mon, 05 Jan 2026 10:00:00 +0000\r\n", "rfc5321#4.4 trace"}
	for name, list := range map[string]EditList{"prepend": {trace}, "drop": {trace, {Drop, 3, "", "r"}}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(content), list)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
