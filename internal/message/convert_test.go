package message_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/message"
)

func convert(t *testing.T, content string, piece int) string {
	t.Helper()
	var b bytes.Buffer
	c := message.NewConverter(&b)
	for rest := content; rest != ""; {
		n := min(piece, len(rest))
		if _, err := c.Write([]byte(rest[:n])); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const multipart8 = "From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
	"preamble\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße = hi\r\nsecond\r\n" +
	"--x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\xff\n--x\n not\r\r\n--xy\r\n" +
	"\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nÄ\r\n--x--\r\nepilogue\r\n"

func TestConverter(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain": {
			"Subject: x\r\n\r\nGrüße\r\n",
			"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n",
		},
		"encoded already": {
			"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n",
			"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n",
		},
		"multipart": {
			strings.Replace(multipart8, "\n--x\n not", "\n--z\n not", 1),
			"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" +
				"preamble\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe =3D hi\r\nsecond\r\n" +
				"--x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
				base64.StdEncoding.EncodeToString([]byte("\x00\xff\n--z\n not\r\r\n--xy\r\n")) +
				"\r\n--x\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=84\r\n--x--\r\nepilogue\r\n",
		},
		"signed": {
			"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nÄ\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n",
			"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nÄ\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n",
		},
		"header only": {"Subject: x\r\n", "Subject: x\r\n"},
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			if got := convert(t, c.in, piece); got != c.want {
				t.Errorf("%s in pieces of %d:\n%q\nand not\n%q", name, piece, got, c.want)
			}
		}
	}
}

// FuzzConverter: a body without parts comes out as it went in, and 7-bit; and
// however the content is cut, the result is the same.
func FuzzConverter(f *testing.F) {
	f.Add("Content-Transfer-Encoding: 8bit\r\n", "Ä\r\nx")
	f.Add("Content-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n", "\x00\r\n\n\r")
	f.Add("", multipart8)
	f.Fuzz(func(t *testing.T, head, body string) {
		all := convert(t, head+"\r\n"+body, 1<<20)
		if one := convert(t, head+"\r\n"+body, 1); one != all {
			t.Fatalf("octet by octet %q, at once %q", one, all)
		}
		kind := "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
		text := "Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
		for _, h := range []string{kind, text} {
			in := body
			if h == text {
				in = strings.ReplaceAll(strings.ReplaceAll(body, "\r", ""), "\n", "\r\n")
			}
			out := convert(t, "MIME-Version: 1.0\r\n"+h+in, 1<<20)
			for line := range strings.Lines(out) {
				if len(line) > 80 {
					t.Fatalf("a line of %d", len(line))
				}
			}
			m, err := mail.ReadMessage(strings.NewReader(out))
			if err != nil {
				t.Fatal(err)
			}
			r := io.Reader(quotedprintable.NewReader(m.Body))
			if h == kind {
				r = base64.NewDecoder(base64.StdEncoding, m.Body)
			}
			got, err := io.ReadAll(r)
			if err != nil || string(got) != in {
				t.Fatalf("%q became %q: %v", in, got, err)
			}
		}
	})
}
