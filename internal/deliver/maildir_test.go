package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
)

func newLocal(t *testing.T, root string) *Deliverer {
	t.Helper()
	d := New(Options{Hostname: "mx.onward.example", MaildirRoot: root})
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// files lists what is in a mailbox's folder.
func files(t *testing.T, parts ...string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(append(parts, "*")...))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

const stored = "delivered recipient maildir 2.0.0"

func TestMaildir(t *testing.T) {
	root := t.TempDir()
	d := newLocal(t, root)
	a := attempt(queue.Maildir, "Anna@Example.org", "\"../../etc/x\"@example.org")
	w := &world{t: t, d: d}
	w.expect(w.deliver(a), stored, stored)
	boxes := []string{"anna", "%2E.%2F..%2Fetc%2Fx"}
	for i, box := range boxes {
		got := files(t, root, "example.org", box, "new")
		if len(got) != 1 {
			t.Fatalf("mailbox %s: %v", box, got)
		}
		content, err := os.ReadFile(got[0])
		if err != nil {
			t.Fatal(err)
		}
		want := "Return-Path: <sender@example.org>\r\nDelivered-To: " + a.Recipients[i].Target.String() + "\r\nReceived: by us\r\n" + mail
		if string(content) != strings.ReplaceAll(want, "\r\n", "\n") {
			t.Errorf("mailbox %s: %q", box, content)
		}
		if info, err := os.Stat(got[0]); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if left := files(t, root, "example.org", box, "tmp"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if got := files(t, root, "example.org"); len(got) != len(boxes) {
		t.Errorf("mailboxes %v", got)
	}
	// What came in with a Return-Path of its own loses it; a null reverse-path is said.
	a = attempt(queue.Maildir, "bert@example.org")
	a.Message.ID++
	a.Recipients[0].ID.Message++
	a.Message.From = address.Mailbox{}
	a.Inline = []byte("X: 1\r\nreturn-path: <forged@example.org>\r\n\r\nbody\r\n")
	a.Message.HeaderSize, a.Message.Edits = len(a.Inline)-len("body\r\n"), nil
	w.expect(w.deliver(a), stored)
	content, _ := os.ReadFile(files(t, root, "example.org", "bert", "new")[0])
	if want := "Return-Path: <>\nDelivered-To: bert@example.org\nX: 1\n\nbody\n"; string(content) != want {
		t.Errorf("got %q", content)
	}
}

// TestMaildirRepeat delivers again what an earlier process may have delivered.
func TestMaildirRepeat(t *testing.T) {
	root := t.TempDir()
	a := attempt(queue.Maildir, "anna@example.org")
	w := &world{t: t, d: newLocal(t, root)}
	w.expect(w.deliver(a), stored)
	w.expect(w.deliver(a), stored)
	got := files(t, root, "example.org", "anna", "new")
	if len(got) != 1 {
		t.Fatalf("new has %v", got)
	}
	seen := filepath.Join(root, "example.org", "anna", "cur", filepath.Base(got[0])+":2,S")
	if err := os.Rename(got[0], seen); err != nil {
		t.Fatal(err)
	}
	w.d = newLocal(t, root)
	a.Message.Received = time.Now().Add(-time.Hour)
	w.expect(w.deliver(a), stored)
	if got := files(t, root, "example.org", "anna", "new"); len(got) != 0 {
		t.Errorf("a second copy: %v", got)
	}
}

func TestMaildirUnset(t *testing.T) {
	w := &world{t: t, d: newLocal(t, "")}
	w.expect(w.deliver(attempt(queue.Maildir, "anna@example.org")), "deferred recipient maildir 4.2.0 maildir_failed")
	w.d = newLocal(t, filepath.Join("/dev/null", "x"))
	w.expect(w.deliver(attempt(queue.Maildir, "anna@example.org")), "deferred recipient maildir 4.2.0 maildir_failed")
}

func TestSafeName(t *testing.T) {
	seen := map[string]string{}
	for _, s := range []string{"a", ".", "..", "...", "a.b", "/", "a/b", "a%2Fb", "\x00", "\u00fc", "a b", "-a", "new", "[192.0.2.1]", strings.Repeat("\u00fc", 32), "A", "%41"} {
		n := safeName(s)
		if n == "" || n[0] == '.' || strings.ContainsAny(n, "/\x00\\") || len(n) > 255 {
			t.Errorf("%q gets the name %q", s, n)
		}
		if other, ok := seen[n]; ok {
			t.Errorf("%q and %q get the same name %q", s, other, n)
		}
		seen[n] = s
	}
}

// brokenDisk fails at operation n, once.
type brokenDisk struct {
	osDisk
	n   int
	err error
}

func (b *brokenDisk) fail() error {
	if b.n--; b.n == 0 {
		return &os.PathError{Op: "test", Path: "x", Err: b.err}
	}
	return nil
}

func (b *brokenDisk) MkdirAll(name string) error {
	if err := b.fail(); err != nil {
		return err
	}
	return b.osDisk.MkdirAll(name)
}

func (b *brokenDisk) Rename(from, to string) error {
	if err := b.fail(); err != nil {
		return err
	}
	return b.osDisk.Rename(from, to)
}

func (b *brokenDisk) Sync(folder string) error {
	if err := b.fail(); err != nil {
		return err
	}
	return b.osDisk.Sync(folder)
}

func (b *brokenDisk) Create(name string) (file, error) {
	if err := b.fail(); err != nil {
		return nil, err
	}
	f, err := b.osDisk.Create(name)
	if err != nil {
		return nil, err
	}
	return &brokenFile{f, b}, nil
}

type brokenFile struct {
	file
	b *brokenDisk
}

func (f *brokenFile) Write(p []byte) (int, error) {
	if err := f.b.fail(); err != nil {
		return len(p) / 2, err
	}
	return f.file.Write(p)
}

func (f *brokenFile) Sync() error {
	if err := f.b.fail(); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *brokenFile) Close() error {
	err := f.b.fail()
	if closing := f.file.Close(); err == nil {
		err = closing
	}
	return err
}

// TestMaildirDiskFails breaks operation 1, 2, 3 …: it is trouble, and the next
// attempt leaves exactly one whole message.
func TestMaildirDiskFails(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{syscall.ENOSPC, "deferred recipient maildir 4.3.1 maildir_failed"},
		{syscall.EIO, "deferred recipient maildir 4.2.0 maildir_failed"},
	} {
		for n := 1; ; n++ {
			root := t.TempDir()
			d := newLocal(t, root)
			disk := &brokenDisk{n: n, err: test.err}
			d.local.disk = disk
			w := &world{t: t, d: d}
			a := attempt(queue.Maildir, "anna@example.org")
			out := w.deliver(a)
			if disk.n > 0 {
				w.expect(out, stored)
				break
			}
			w.expect(out, test.want)
			w.expect(w.deliver(a), stored)
			got := files(t, root, "example.org", "anna", "new")
			if len(got) != 1 || len(files(t, root, "example.org", "anna", "tmp")) != 0 {
				t.Fatalf("operation %d: new has %v", n, got)
			}
			if content, err := os.ReadFile(got[0]); err != nil || !strings.HasSuffix(string(content), "\nbody\n..\n") {
				t.Errorf("operation %d: %q, %v", n, content, err)
			}
			if n > 50 {
				t.Fatal("it never completes")
			}
		}
	}
}

// TestMaildirContent cannot read what is stored.
func TestMaildirContent(t *testing.T) {
	root := t.TempDir()
	w := &world{t: t, d: newLocal(t, root)}
	for i, open := range []func() (io.ReadCloser, error){
		func() (io.ReadCloser, error) { return nil, errors.New("gone") },
		func() (io.ReadCloser, error) {
			return io.NopCloser(&brokenReader{strings.NewReader(mail), errors.New("broken")}), nil
		},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			a := attempt(queue.Maildir, "anna@example.org")
			a.Inline = nil
			a.Message.Edits = message.EditList{}
			a.Open = func(context.Context) (io.ReadCloser, error) { return open() }
			w.expect(w.deliver(a), "deferred recipient maildir 4.2.0 maildir_failed")
			if got := files(t, root, "example.org", "anna", "new"); len(got) != 0 {
				t.Errorf("half a message: %v", got)
			}
		})
	}
}

// TestUnixLines reads the same in pieces of every size.
func TestUnixLines(t *testing.T) {
	d := newLocal(t, t.TempDir())
	const in = "a\r\nb\rc\r\r\nd\r\n\r\n\r"
	const want = "a\nb\rc\r\nd\n\n\r"
	for size := 1; size <= len(in); size++ {
		name := filepath.Join(d.opt.MaildirRoot, "f")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		u := newUnixLines(f)
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			if m, err := u.Write([]byte(rest[:n])); m != n || err != nil {
				t.Fatalf("wrote %d, %v", m, err)
			}
			rest = rest[n:]
		}
		if err := errors.Join(u.flush(), f.Close()); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(name); string(got) != want {
			t.Errorf("in pieces of %d: %q", size, got)
		}
	}
}

// TestOneFolder: a mailbox is one folder, whatever its case and the form of its
// letters (rfc6532#3.1).
func TestOneFolder(t *testing.T) {
	m := &maildir{root: "/mail"}
	want, err := m.folder(address.MustMailbox("j\u00f6rg@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"J\u00d6RG@example.org", "jo\u0308rg@example.org", "JO\u0308RG@EXAMPLE.ORG"} {
		if got, err := m.folder(address.MustMailbox(s)); err != nil || got != want {
			t.Errorf("%q has the folder %s (%v), not %s", s, got, err, want)
		}
	}
}
