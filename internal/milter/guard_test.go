package milter

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// TestGuard: answers pass as they are, in pieces of any size, and what the
// library could not take ends the connection.
func TestGuard(t *testing.T) {
	whole := packet('c', "") + packet('y', "554 No\x00") + packet('b', strings.Repeat("x", maxAnswer-1))
	for _, n := range []int{1, 3, 4096} {
		g := &guarded{Conn: scripted{says: bytes.NewReader([]byte(whole))}}
		var got bytes.Buffer
		if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{g}, make([]byte, n)); err != nil || got.String() != whole {
			t.Errorf("by %d: %d octets came, %v; want %d", n, got.Len(), err, len(whole))
		}
	}
	for name, says := range map[string]string{
		"an empty answer":    packet('c', "") + "\x00\x00\x00\x00",
		"a large answer":     "\x00\x10\x00\x01y" + strings.Repeat("x", maxAnswer),
		"too many answers":   strings.Repeat(packet('h', strings.Repeat("x", maxAnswer-1)), maxAnswers/maxAnswer+1),
		"a part of a length": packet('c', "") + "\x00\x00",
	} {
		if n, err := io.Copy(io.Discard, &guarded{Conn: scripted{says: bytes.NewReader([]byte(says))}}); err == nil {
			t.Errorf("%s: %d octets are let through", name, n)
		}
	}
}
