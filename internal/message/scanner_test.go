package message

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// scan gives content to a scanner in pieces of the given size.
func scan(s *HeaderScanner, content []byte, piece int) {
	for len(content) > 0 {
		n := min(piece, len(content))
		if m, err := s.Write(content[:n]); m != n || err != nil {
			panic("a scanner never fails")
		}
		content = content[n:]
	}
}

// same holds one scanner's findings against those of ParseHeader.
func same(t interface{ Fatalf(string, ...any) }, s *HeaderScanner, content []byte, limit int) {
	if s.Size() != int64(len(content)) || s.EightBit() != !isASCIIBytes(content) {
		t.Fatalf("size %d of %d, 8-bit %t", s.Size(), len(content), s.EightBit())
	}
	want, err := ParseHeader(content)
	if err != nil || want.Size() > limit {
		if !s.TooLarge() {
			t.Fatalf("a header section of %d octets passes the limit %d", want.Size(), limit)
		}
		if _, err := s.Header(); !errors.Is(err, ErrHeaderTooLarge) {
			t.Fatalf("error %v", err)
		}
		return
	}
	if s.TooLarge() {
		t.Fatalf("a header section of %d octets is too large for %d", want.Size(), limit)
	}
	got, err := s.Header()
	if err != nil || !bytes.Equal(got.Raw(), want.Raw()) || got.Len() != want.Len() {
		t.Fatalf("header %q, %v; want %q", got.Raw(), err, want.Raw())
	}
	if s.Received() != want.Received() || s.HeaderSize() != want.Size() || s.HeaderEightBit() != !isASCIIBytes(want.Raw()) {
		t.Fatalf("received %d, size %d; want %d, %d", s.Received(), s.HeaderSize(), want.Received(), want.Size())
	}
}

func isASCIIBytes(b []byte) bool {
	for _, c := range b {
		if c > 127 {
			return false
		}
	}
	return true
}

func TestScannerEqualsWhole(t *testing.T) {
	contents := []string{
		sample, "", "\r\n", "hello\r\n", "hello", "A: b", "A: b\r\n\r\n", "Received: x", "\xff\r\n", "A: \xe4\r\n\r\nb",
		strings.Repeat("Received: x\r\n", 60) + "\r\n" + strings.Repeat("body ä\r\n", 100),
	}
	for _, content := range contents {
		for _, piece := range []int{1, 7, 64, max(1, len(content))} {
			s := NewHeaderScanner(0)
			scan(s, []byte(content), piece)
			same(t, s, []byte(content), DefaultHeaderLimit)
		}
	}
}

func TestScannerLimit(t *testing.T) {
	content := []byte("A: b\r\nC: d\r\n\r\nbody\r\n")
	for _, piece := range []int{1, 5, 100} {
		for limit := 6; limit < 20; limit++ {
			s := NewHeaderScanner(limit)
			scan(s, content, piece)
			same(t, s, content, limit)
			if len(s.kept) > limit {
				t.Fatalf("limit %d: %d octets are kept", limit, len(s.kept))
			}
		}
	}
}

func TestScannerTooManyFields(t *testing.T) {
	content := []byte(strings.Repeat("A:\r\n", MaxFields+1) + "\r\n")
	s := NewHeaderScanner(0)
	scan(s, content, 1000)
	same(t, s, content, DefaultHeaderLimit)
}

func TestScannerAnyChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.SampledFrom([]string{
			"A: b\r\n", " folded\r\n", "\r\n", "Received: x\r\n", "junk\r\n", "\n", "a\r", "\xe4: x\n", "received :\r\n", ":", "B", "From x\r\n",
		})).Draw(t, "lines")
		content := []byte(strings.Join(lines, ""))
		s := NewHeaderScanner(0)
		s.Write([]byte("Z: from another message\r\n\r\n"))
		s.Reset()
		for rest := content; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "chunk")
			s.Write(rest[:n])
			rest = rest[n:]
		}
		same(t, s, content, DefaultHeaderLimit)
	})
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte(sample), uint8(3))
	f.Add([]byte("From x\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, content []byte, piece uint8) {
		s := NewHeaderScanner(0)
		scan(s, content, int(piece)+1)
		same(t, s, content, DefaultHeaderLimit)
	})
}

func BenchmarkScanner(b *testing.B) {
	content := typical()
	for _, piece := range []int{4096, 32 << 10} {
		b.Run(map[int]string{4096: "4K chunks", 32 << 10: "32K chunks"}[piece], func(b *testing.B) {
			s := NewHeaderScanner(0)
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				s.Reset()
				scan(s, content, piece)
			}
		})
	}
}

func BenchmarkParseHeader(b *testing.B) {
	content := typical()
	b.ReportAllocs()
	for b.Loop() {
		if h, err := ParseHeader(content); err != nil || h.Len() == 0 {
			b.Fatal(err)
		}
	}
}

// typical is a message of 64 KB with a header section of some 2.5 KB.
func typical() []byte {
	var b bytes.Buffer
	for range 5 {
		b.WriteString("Received: from mail.example.net (mail.example.net [192.0.2.10])\r\n\tby mx.example.org with ESMTPS (TLS1.3) id 01JABCDEF\r\n\tfor <anna@example.org>; Mon, 05 Jan 2026 10:00:00 +0000\r\n")
	}
	b.WriteString("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=s1;\r\n h=From:To:Subject:Date; bh=" + strings.Repeat("x", 44) + ";\r\n b=" + strings.Repeat("y", 344) + "\r\n")
	for range 20 {
		b.WriteString("X-Header: some value of the usual length, nothing special in it\r\n")
	}
	b.WriteString("From: Bob <bob@example.net>\r\nTo: anna@example.org\r\nSubject: lunch\r\n\r\n")
	for b.Len() < 64<<10 {
		b.WriteString("A line of the body, of the usual length, that nobody needs to look at.\r\n")
	}
	return b.Bytes()
}
