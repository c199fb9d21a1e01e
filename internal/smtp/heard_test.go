package smtp

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReplyReader(t *testing.T) {
	tests := []struct {
		name, wire, want string
		err              error
	}{
		{name: "one line", wire: "250 OK\r\n", want: "250 OK"},
		{name: "enhanced", wire: "550 5.1.1 No such user\r\n", want: "550 5.1.1 No such user"},
		{name: "several lines", wire: "250-mx.example\r\n250-SIZE 10\r\n250 HELP\r\n", want: "250 mx.example SIZE 10 HELP"},
		{name: "enhanced on every line", wire: "550-5.7.1 Go\r\n550 5.7.1 away\r\n", want: "550 5.7.1 Go away"},
		{name: "another enhanced code", wire: "550-5.7.1 Go\r\n550 5.7.2 away\r\n", want: "550 5.7.1 Go 5.7.2 away"},
		{name: "the class does not agree", wire: "250 5.1.1 odd\r\n", want: "250 5.1.1 odd"},
		{name: "no enhanced code", wire: "250 2.0 x\r\n", want: "250 2.0 x"},
		{name: "an address is no code", wire: "250 2.1.5.3 x\r\n", want: "250 2.1.5.3 x"},
		{name: "LF alone", wire: "250-a\n250 b\n", want: "250 a b"},
		{name: "no text", wire: "250\r\n", want: "250 "},
		{name: "no text, with its space", wire: "250 \r\n", want: "250 "},
		{name: "code alone among lines", wire: "250-\r\n250 x\r\n", want: "250  x"},
		{name: "mismatch", wire: "250-a\r\n550 b\r\n", err: ErrReplySyntax},
		{name: "no code", wire: "hello\r\n", err: ErrReplySyntax},
		{name: "short", wire: "25\r\n", err: ErrReplySyntax},
		{name: "out of range", wire: "650 x\r\n", err: ErrReplySyntax},
		{name: "preliminary", wire: "150 x\r\n", err: ErrReplySyntax},
		{name: "no separator", wire: "250x\r\n", err: ErrReplySyntax},
		{name: "HTTP", wire: "HTTP/1.1 400 Bad Request\r\n", err: ErrReplySyntax},
		{name: "long line", wire: "250 " + strings.Repeat("x", MaxReplyLine) + "\r\n", err: ErrReplyTooLong},
		{name: "many lines", wire: strings.Repeat("250-x\r\n", MaxReplyLines+1), err: ErrReplyTooLong},
		{name: "nothing", wire: "", err: io.EOF},
		{name: "cut in a line", wire: "250 O", err: io.ErrUnexpectedEOF},
		{name: "cut between lines", wire: "250-a\r\n", err: io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"whole": strings.NewReader(tt.wire), "one by one": iotest.OneByteReader(strings.NewReader(tt.wire)),
				"data with the end": iotest.DataErrReader(strings.NewReader(tt.wire)),
			} {
				got, err := NewReplyReader(r).ReadReply()
				if !errors.Is(err, tt.err) || tt.err == nil && got.String() != tt.want {
					t.Errorf("%s: got %q, %v; want %q, %v", how, got, err, tt.want, tt.err)
				}
			}
		})
	}
}

// TestReplyReaderReset: what a server says before TLS is not believed after it.
func TestReplyReaderReset(t *testing.T) {
	rr := NewReplyReader(strings.NewReader("220 go\r\n250 injected\r\n"))
	if r, err := rr.ReadReply(); err != nil || r.Code != 220 {
		t.Fatalf("ReadReply = %v, %v", r, err)
	}
	if rr.Buffered() != len("250 injected\r\n") {
		t.Errorf("Buffered = %d", rr.Buffered())
	}
	rr.Reset(strings.NewReader("250 true\r\n"))
	if r, err := rr.ReadReply(); err != nil || r.String() != "250 true" {
		t.Fatalf("after Reset: %v, %v", r, err)
	}
}

func FuzzReplyReader(f *testing.F) {
	f.Add("250-2.0.0 a\r\n250 b\r\n550 5.1.1 c\n")
	f.Fuzz(func(t *testing.T, wire string) {
		whole, single := NewReplyReader(strings.NewReader(wire)), NewReplyReader(iotest.OneByteReader(strings.NewReader(wire)))
		for {
			a, errA := whole.ReadReply()
			b, errB := single.ReadReply()
			if (errA == nil) != (errB == nil) || errA == nil && a.String() != b.String() {
				t.Fatalf("whole: %q, %v; one by one: %q, %v", a, errA, b, errB)
			}
			if errA != nil {
				return
			}
			if a.Code < 200 || a.Code > 599 || len(a.Lines) == 0 || len(a.Lines) > MaxReplyLines {
				t.Fatalf("got %#v", a)
			}
		}
	})
}
