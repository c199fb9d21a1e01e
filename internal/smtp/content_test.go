package smtp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// reference undoes the framing one octet at a time, in the plainest way: it is
// what DataDecoder must equal. done is false if the end is not in wire; used
// is how much of wire belongs to the content and its end.
func reference(wire []byte) (content []byte, used int, bareCR, bareLF, done bool) {
	lineStart := true
	for i := 0; i < len(wire); {
		rest := wire[i:]
		if lineStart && rest[0] == '.' {
			if bytes.HasPrefix(rest, []byte(".\r\n")) {
				return content, i + 3, bareCR, bareLF, true
			}
			i++
			lineStart = false
			continue
		}
		lineStart = false
		switch {
		case bytes.HasPrefix(rest, []byte("\r\n")):
			content = append(content, "\r\n"...)
			i += 2
			lineStart = true
			continue
		case rest[0] == '\r':
			bareCR = true
		case rest[0] == '\n':
			bareLF = true
		}
		content = append(content, rest[0])
		i++
	}
	return content, len(wire), bareCR, bareLF, false
}

// inPieces decodes wire in pieces whose sizes next gives, in place as a
// connection does it.
func inPieces(wire []byte, next func() int) (content []byte, used int, d DataDecoder) {
	for used < len(wire) && !d.Done() {
		n := min(max(next(), 1), len(wire)-used)
		buf := append([]byte{0xee}, wire[used:used+n]...)
		nDst, nSrc, done := d.Decode(buf, buf[1:])
		content = append(content, buf[:nDst]...)
		used += nSrc
		if !done && nSrc != n {
			panic("src was not used up")
		}
	}
	return content, used, d
}

func sameAsReference(t interface{ Fatalf(string, ...any) }, wire []byte, how string, next func() int) {
	content, used, bareCR, bareLF, done := reference(wire)
	got, gotUsed, d := inPieces(wire, next)
	if d.Done() != done {
		t.Fatalf("%s of %q: done %v, want %v", how, wire, d.Done(), done)
	}
	if !done {
		// What is held back at the end, and a CR whose LF may still come, are
		// settled by an octet that is text.
		wire = append(bytes.Clone(wire), 'x', 'y')
		content, used, bareCR, bareLF, _ = reference(wire)
		got, gotUsed, d = inPieces(wire, next)
	}
	if !bytes.Equal(got, content) || gotUsed != used || d.BareCR != bareCR || d.BareLF != bareLF {
		t.Fatalf("%s of %q:\n got %q, %d used, bare CR %v LF %v\nwant %q, %d used, bare CR %v LF %v",
			how, wire, got, gotUsed, d.BareCR, d.BareLF, content, used, bareCR, bareLF)
	}
}

func allChunkings(t interface{ Fatalf(string, ...any) }, wire []byte) {
	for _, n := range []int{1, 2, 3, 7, len(wire) + 1} {
		sameAsReference(t, wire, "pieces", func() int { return n })
	}
}

func TestDataDecoder(t *testing.T) {
	tests := []struct {
		name, wire, content, rest string
		bare, open                bool
	}{
		{name: "empty", wire: ".\r\n"},
		{name: "one line", wire: "a\r\n.\r\n", content: "a\r\n"},
		{name: "what follows is not ours", wire: "a\r\n.\r\nQUIT\r\n", content: "a\r\n", rest: "QUIT\r\n"},
		{name: "stuffed", wire: "..\r\n.a\r\n...\r\n.\r\n", content: ".\r\na\r\n..\r\n"},
		{name: "dot within a line", wire: "a.\r\n.\r\n", content: "a.\r\n"},
		{name: "LF dot LF", wire: "a\n.\nb\r\n.\r\n", content: "a\n.\nb\r\n", bare: true},
		{name: "LF dot CRLF", wire: "a\n.\r\nb\r\n.\r\n", content: "a\n.\r\nb\r\n", bare: true},
		{name: "CRLF dot LF", wire: "a\r\n.\nb\r\n.\r\n", content: "a\r\n\nb\r\n", bare: true},
		{name: "CR dot CR", wire: "a\r.\rb\r\n.\r\n", content: "a\r.\rb\r\n", bare: true},
		{name: "CRLF dot CR", wire: "a\r\n.\rb\r\n.\r\n", content: "a\r\n\rb\r\n", bare: true},
		{name: "CRLF dot CR CR LF", wire: "a\r\n.\r\r\nb\r\n.\r\n", content: "a\r\n\r\r\nb\r\n", bare: true},
		{name: "CRLF NUL dot CRLF", wire: "a\r\n\x00.\r\n.\r\n", content: "a\r\n\x00.\r\n"},
		{name: "CR CRLF dot CRLF", wire: "a\r\r\n.\r\n", content: "a\r\r\n", bare: true},
		{name: "LF at first", wire: "\n.\r\n.\r\n", content: "\n.\r\n", bare: true},
		{name: "no end", wire: "a\r\n.", content: "a\r\n", open: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := []byte(tt.wire)
			got, used, d := inPieces(wire, func() int { return len(wire) })
			if string(got) != tt.content || string(wire[used:]) != tt.rest || d.Bare() != tt.bare || d.Done() == tt.open {
				t.Errorf("got %q, rest %q, bare %v, done %v", got, wire[used:], d.Bare(), d.Done())
			}
			allChunkings(t, wire)
		})
	}
}

// TestDataDecoderEqualsReference tries texts made of what matters.
func TestDataDecoderEqualsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		atoms := rapid.SliceOf(rapid.SampledFrom([]string{"\r\n", "\r", "\n", ".", "a", "text", "\x00", ".\r\n", "\r\n.\r\n"}))
		wire := []byte(strings.Join(atoms.Draw(t, "wire"), ""))
		allChunkings(t, wire)
		sizes := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 8).Draw(t, "sizes")
		i := 0
		sameAsReference(t, wire, "random pieces", func() int { i++; return sizes[i%len(sizes)] })
	})
}

func FuzzDataDecoder(f *testing.F) {
	f.Add([]byte("a\r\n..b\r\n.\r\nQUIT\r\n"))
	f.Add([]byte(".\r\r\n\n.\n\r\n.\r"))
	f.Fuzz(func(t *testing.T, wire []byte) { allChunkings(t, wire) })
}

func TestDecodeWithoutRoom(t *testing.T) {
	var d DataDecoder
	src := []byte("abcdef")
	if n, used, done := d.Decode(make([]byte, 3), src); n != 2 || used != 2 || done {
		t.Errorf("Decode into 3 octets = %d, %d, %v; want 2, 2, false", n, used, done)
	}
	if n, used, _ := d.Decode(nil, src); n != 0 || used != 0 {
		t.Errorf("Decode into nothing = %d, %d", n, used)
	}
}

func TestLineScanner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		atoms := rapid.SliceOf(rapid.SampledFrom([]string{"\r\n", "\r", "\n", ".", "a", "text"}))
		text := strings.Join(atoms.Draw(t, "text"), "")
		// With a mark in its place, lest taking CRLF out joins what was apart.
		bare := strings.ReplaceAll(text, "\r\n", "|")
		n := rapid.IntRange(1, 9).Draw(t, "size")
		var l LineScanner
		for rest := text; rest != ""; {
			m := min(n, len(rest))
			l.Scan([]byte(rest[:m]))
			rest = rest[m:]
		}
		unfinished := l.End()
		wantCR, wantLF := strings.Contains(bare, "\r"), strings.Contains(bare, "\n")
		if l.BareCR != wantCR || l.BareLF != wantLF {
			t.Fatalf("%q by %d: bare CR %v LF %v, want %v %v", text, n, l.BareCR, l.BareLF, wantCR, wantLF)
		}
		if want := text != "" && !strings.HasSuffix(text, "\r\n"); unfinished != want {
			t.Fatalf("%q by %d: unfinished %v", text, n, unfinished)
		}
	})
}

// TestDotWriter sends content and reads it back with the decoder's reference.
func TestDotWriter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		atoms := rapid.SliceOf(rapid.SampledFrom([]string{"\r\n", ".", "..", "a", "text", "\r\n.\r\n"}))
		content := strings.Join(atoms.Draw(t, "content"), "")
		n := rapid.IntRange(1, 9).Draw(t, "size")
		var wire bytes.Buffer
		w := DotWriter{W: &wire}
		for rest := content; rest != ""; {
			m := min(n, len(rest))
			if k, err := w.Write([]byte(rest[:m])); k != m || err != nil {
				t.Fatalf("Write(%q) = %d, %v", rest[:m], k, err)
			}
			rest = rest[m:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		want := content
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		got, used, bareCR, bareLF, done := reference(wire.Bytes())
		if string(got) != want || used != wire.Len() || bareCR || bareLF || !done {
			t.Fatalf("%q by %d became %q, which reads %q", content, n, wire.Bytes(), got)
		}
		whole, err := AppendDotStuffed([]byte("x"), []byte(content))
		if err != nil || string(whole[1:]) != wire.String() {
			t.Fatalf("AppendDotStuffed(%q) = %q, %v; want %q", content, whole, err, wire.Bytes())
		}
	})
}

func TestDotWriterRefusesBareLineEndings(t *testing.T) {
	for _, content := range []string{"a\nb\r\n", "a\rb\r\n", "\n", "a\r\n.\n", "a\r"} {
		for _, n := range []int{1, len(content)} {
			w := DotWriter{W: io.Discard}
			var err error
			for rest := content; rest != "" && err == nil; {
				m := min(n, len(rest))
				_, err = w.Write([]byte(rest[:m]))
				rest = rest[m:]
			}
			if err == nil {
				err = w.Close()
			}
			if !errors.Is(err, ErrBareLineEnding) {
				t.Errorf("%q by %d was sent: %v", content, n, err)
			}
		}
		if got, err := AppendDotStuffed([]byte("x"), []byte(content)); !errors.Is(err, ErrBareLineEnding) || string(got) != "x" {
			t.Errorf("AppendDotStuffed(%q) = %q, %v", content, got, err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	line := strings.Repeat("x", 70) + "\r\n"
	wire := []byte(strings.Repeat(line, 64*1024/len(line)) + ".\r\n")
	buf := make([]byte, len(wire)+1)
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		var d DataDecoder
		if _, _, done := d.Decode(buf, wire); !done {
			b.Fatal("no end")
		}
	}
}
