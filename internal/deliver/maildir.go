package deliver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
)

// maildir delivers to local mailboxes, each a Maildir in root/domain/local part.
//
//	tmp/name   written and synced
//	new/name   renamed to, and the folder synced: delivered
//	cur/name:2,…   read by its owner
//
// The name comes from the message and the recipient, so that an attempt that is
// made again after a crash replaces its own file in new, or finds it in cur, and
// never makes a second one. A mail reader that gives files other names defeats
// that. Lines end with LF, as readers of Maildir expect.
type maildir struct {
	root     string
	hostname string
	started  time.Time // what arrived earlier may have been delivered by an earlier process
	disk     disk
}

// disk is what of a file system is needed; tests make it fail.
type disk interface {
	MkdirAll(name string) error
	Create(name string) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	Names(folder string) ([]string, error)
	// Sync makes the entries of a folder durable.
	Sync(folder string) error
}

type file interface {
	io.Writer
	Sync() error
	Close() error
}

func newMaildir(root, hostname string, now time.Time) *maildir {
	return &maildir{root: root, hostname: hostname, started: now, disk: osDisk{}}
}

// deliver stores the message for every recipient of the job.
func (m *maildir) deliver(ctx context.Context, j *job) {
	for i, r := range j.a.Recipients {
		if err := ctx.Err(); err != nil {
			j.settle(i, interrupted(stageMaildir, context.Cause(ctx)), peer{})
			continue
		}
		if err := m.store(ctx, j, i, r); err != nil {
			j.settle(i, unstored(ctx, err), peer{})
			continue
		}
		j.settle(i, accepted(stageMaildir, smtp.Reply{}), peer{host: m.hostname})
	}
}

// store puts the message into one mailbox.
func (m *maildir) store(ctx context.Context, j *job, i int, r *queue.Recipient) error {
	if m.root == "" {
		return errors.New("there is no folder for local mailboxes; set one in the configuration")
	}
	box, err := m.folder(r.Target)
	if err != nil {
		return err
	}
	name := m.name(j.a.Message, r.ID)
	if m.mayRepeat(j.a.Message, r) {
		there, err := m.read(box, name)
		if there || err != nil {
			return err
		}
	}
	err = m.put(ctx, box, name, j, i, r)
	if errors.Is(err, fs.ErrNotExist) { // the first message of the mailbox
		if err = m.prepare(box); err == nil {
			err = m.put(ctx, box, name, j, i, r)
		}
	}
	return err
}

// put writes the message to tmp and moves it to new.
func (m *maildir) put(ctx context.Context, box, name string, j *job, i int, r *queue.Recipient) error {
	temporary := filepath.Join(box, "tmp", name)
	err := m.write(ctx, temporary, j, i, r)
	if err == nil {
		if err = m.disk.Rename(temporary, filepath.Join(box, "new", name)); err != nil {
			err = fmt.Errorf("move the message into the mailbox: %w", err)
		}
	}
	if err != nil {
		_ = m.disk.Remove(temporary) // if it stays, the next attempt replaces it
		return err
	}
	if err := m.disk.Sync(filepath.Join(box, "new")); err != nil {
		return fmt.Errorf("sync the mailbox: %w", err)
	}
	return nil
}

// folder is where a mailbox is. Every name in it is made by safeName, so it is
// below root.
func (m *maildir) folder(box address.Mailbox) (string, error) {
	local := address.Mailbox{Local: box.Local}.Key() // one mailbox is one folder, however it is written
	local = local[:len(local)-1]                     // without the @
	if local == "" || box.Domain.IsZero() {
		return "", fmt.Errorf("%q is no address of a local mailbox", box.String())
	}
	return filepath.Join(m.root, safeName(box.Domain.String()), safeName(local)), nil
}

// safeName makes a file name of a domain or a local part: letters, digits and
// some marks stay, everything else is written as %XX. Two different texts never
// get the same name, no name begins with a dot, and none is longer than three
// times the text.
func safeName(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '+', c == '=', c == '.' && i > 0:
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// name is the unique name of the message in the mailbox: time, unique part and
// host, as the Maildir convention has it.
func (m *maildir) name(msg *queue.Message, id queue.RecipientID) string {
	return strconv.FormatInt(msg.ID.Time().Unix(), 10) + "." + msg.ID.String() + "R" + strconv.Itoa(id.N) + "." + safeName(strings.ToLower(m.hostname))
}

// mayRepeat reports whether the message may be in the mailbox already.
func (m *maildir) mayRepeat(msg *queue.Message, r *queue.Recipient) bool {
	return r.Attempts > 0 || msg.Received.Before(m.started)
}

// read reports whether the owner has read the message already: then it is in
// cur, under its name and some flags.
func (m *maildir) read(box, name string) (bool, error) {
	names, err := m.disk.Names(filepath.Join(box, "cur"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the message in the mailbox: %w", err)
	}
	for _, n := range names {
		if base, _, _ := strings.Cut(n, ":"); base == name {
			return true, nil
		}
	}
	return false, nil
}

// prepare makes the mailbox. tmp is made last: without it nothing can be put
// in, so its presence says that the rest has been made durable.
func (m *maildir) prepare(box string) error {
	for _, sub := range []string{"cur", "new"} {
		if err := m.disk.MkdirAll(filepath.Join(box, sub)); err != nil {
			return fmt.Errorf("make the mailbox: %w", err)
		}
	}
	for _, folder := range []string{m.root, filepath.Dir(box), box} {
		if err := m.disk.Sync(folder); err != nil {
			return fmt.Errorf("sync the new mailbox: %w", err)
		}
	}
	if err := m.disk.MkdirAll(filepath.Join(box, "tmp")); err != nil {
		return fmt.Errorf("make the mailbox: %w", err)
	}
	return nil
}

// write writes the message with its trace of the final delivery (rfc5321#4.4)
// and makes it durable.
func (m *maildir) write(ctx context.Context, name string, j *job, i int, r *queue.Recipient) (err error) {
	edits := message.Combine(j.a.Message.Edits, r.Edits)
	edits = append(edits[:len(edits):len(edits)], m.trace(ctx, j, i, r)...)
	src, err := openSource(ctx, j.a, edits)
	if err != nil {
		return err
	}
	defer src.close()
	f, err := m.disk.Create(name)
	if err != nil {
		return fmt.Errorf("open a file in the mailbox: %w", err)
	}
	defer func() {
		if closing := f.Close(); err == nil && closing != nil {
			err = fmt.Errorf("close the message in the mailbox: %w", closing)
		}
	}()
	w := newUnixLines(f)
	var to io.Writer = w
	var convert *message.Converter
	if j.a.Message.Params.Body == smtp.BodyBinaryMIME { // a mailbox has lines
		convert = message.NewConverter(w)
		to = convert
	}
	if err := src.writeTo(to, make([]byte, blockSize/2)); err != nil {
		return fmt.Errorf("write the message into the mailbox: %w", err)
	}
	if convert != nil {
		if err := convert.Close(); err != nil {
			return fmt.Errorf("write the message into the mailbox: %w", err)
		}
	}
	if err := w.flush(); err != nil {
		return fmt.Errorf("write the message into the mailbox: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync the message in the mailbox: %w", err)
	}
	return nil
}

// trace is what the final delivery adds: Return-Path on top, Delivered-To below
// it. A Return-Path that the message brought along is dropped, because readers
// would take it for ours (rfc5321#4.4).
func (m *maildir) trace(ctx context.Context, j *job, i int, r *queue.Recipient) message.EditList {
	list := message.EditList{
		{Kind: message.Prepend, Rule: "final delivery", Text: "Delivered-To: " + r.Target.String() + "\r\n"},
		{Kind: message.Prepend, Rule: "rfc5321#4.4 final delivery", Text: message.ReturnPath(j.reversePath(i))},
	}
	raw, err := storedHeader(ctx, j.a)
	if err != nil {
		return list // the reader of the content meets the same trouble, and reports it
	}
	h, err := message.ParseHeader(raw)
	if err != nil {
		return list
	}
	for f := range h.All("Return-Path") {
		list = append(list, message.Edit{Kind: message.Drop, Field: f.Index, Rule: "rfc5321#4.4 final delivery"})
	}
	return list
}

// unixLines turns CRLF into LF.
type unixLines struct {
	w  *bufio.Writer
	cr bool // a CR is held back
}

func newUnixLines(w io.Writer) *unixLines { return &unixLines{w: bufio.NewWriterSize(w, blockSize/2)} }

func (u *unixLines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if u.cr && p[0] != '\n' {
			_ = u.w.WriteByte('\r') // an error stays with w
		}
		text := p
		i := bytes.IndexByte(p, '\r')
		if u.cr = i >= 0; u.cr {
			text, p = p[:i], p[i+1:]
		} else {
			p = nil
		}
		if _, err := u.w.Write(text); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// flush ends the content.
func (u *unixLines) flush() error {
	if u.cr {
		_ = u.w.WriteByte('\r')
	}
	return u.w.Flush()
}

// osDisk is the real thing.
type osDisk struct{}

func (osDisk) MkdirAll(name string) error { return os.MkdirAll(name, 0o700) }

func (osDisk) Create(name string) (file, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) Remove(name string) error     { return os.Remove(name) }

func (osDisk) Names(folder string) ([]string, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (osDisk) Sync(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
