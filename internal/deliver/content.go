package deliver

import (
	"context"
	"fmt"
	"io"

	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
)

// source is the content of a transaction: what the edits make of the stored
// one.
type source struct {
	head [][]byte // goes first
	rest io.Reader
	file io.Closer // nil if the content is in memory
	size int64     // of all, before dots are stuffed
}

// openSource prepares the content. The caller closes it.
func openSource(ctx context.Context, a *queue.Attempt, edits message.EditList) (*source, error) {
	if a.Inline != nil {
		return inlineSource(a, edits)
	}
	file, err := a.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the stored content: %w", err)
	}
	r, err := message.NewReader(file, edits)
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &source{rest: r, file: file, size: a.Message.Size + int64(r.Growth())}, nil
}

// inlineSource is for content in memory. The usual edits put fields above the
// rest, which needs no copy of anything.
func inlineSource(a *queue.Attempt, edits message.EditList) (*source, error) {
	s := &source{size: int64(len(a.Inline))}
	body := a.Inline
	touches := false
	for _, e := range edits {
		touches = touches || e.Kind != message.Prepend
	}
	switch headerSize := a.Message.HeaderSize; {
	case headerSize < 0 || headerSize > len(a.Inline):
		return nil, fmt.Errorf("the stored header section has %d octets of %d", headerSize, len(a.Inline))
	case touches:
		h, err := message.ParseHeader(a.Inline[:headerSize])
		if err != nil {
			return nil, fmt.Errorf("read the stored header section: %w", err)
		}
		s.head = append(s.head, edits.AppendHeader(nil, h))
		body = a.Inline[h.Size():]
	case len(edits) > 0:
		for i := len(edits) - 1; i >= 0; i-- {
			s.head = append(s.head, []byte(edits[i].Text))
		}
		if headerSize == 0 {
			s.head = append(s.head, []byte("\r\n"))
		}
	}
	s.head = append(s.head, body)
	s.size = 0
	for _, p := range s.head {
		s.size += int64(len(p))
	}
	return s, nil
}

func (s *source) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

// writeTo writes the content to w, by way of buf where it has to be read. An
// error of reading is a readError.
func (s *source) writeTo(w io.Writer, buf []byte) error {
	for _, p := range s.head {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	if s.rest == nil {
		return nil
	}
	for {
		n, err := s.rest.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return &readError{err}
		}
	}
}

// readError is trouble of our own storage, not of the connection.
type readError struct{ err error }

func (e *readError) Error() string { return "read the stored content: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// headerIsASCII reports whether the header section as it is sent is free of
// octets above 127 (rfc6532#3 needs SMTPUTF8 for others).
func headerIsASCII(ctx context.Context, a *queue.Attempt, edits message.EditList) (bool, error) {
	for _, e := range edits {
		if !isASCII([]byte(e.Text)) {
			return false, nil
		}
	}
	header, err := storedHeader(ctx, a)
	return isASCII(header), err
}

// storedHeader returns the header section as it is stored. It is not to be
// changed.
func storedHeader(ctx context.Context, a *queue.Attempt) ([]byte, error) {
	size := min(a.Message.HeaderSize, message.MaxHeaderLimit)
	if a.Inline != nil {
		return a.Inline[:min(size, len(a.Inline))], nil
	}
	file, err := a.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the stored content: %w", err)
	}
	defer file.Close()
	header := make([]byte, size)
	if _, err := io.ReadFull(file, header); err != nil {
		return nil, &readError{err}
	}
	return header, nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// blocks gathers what is written into blocks of blockSize and writes each with
// a deadline of its own (rfc5321#4.5.3.2.5).
type blocks struct {
	c   *client
	buf []byte
}

func (b *blocks) Write(p []byte) (int, error) {
	if len(b.buf)+len(p) <= blockSize {
		b.buf = append(b.buf, p...)
		return len(p), nil
	}
	if err := b.flush(); err != nil {
		return 0, err
	}
	n := 0
	for len(p)-n > blockSize {
		if err := b.c.write(p[n:n+blockSize], b.c.t.Block); err != nil {
			return n, err
		}
		n += blockSize
	}
	b.buf = append(b.buf, p[n:]...)
	return len(p), nil
}

// WriteString is for the dots: it makes no garbage.
func (b *blocks) WriteString(s string) (int, error) {
	if len(b.buf)+len(s) > blockSize {
		return b.Write([]byte(s))
	}
	b.buf = append(b.buf, s...)
	return len(s), nil
}

func (b *blocks) flush() error {
	if len(b.buf) == 0 {
		return nil
	}
	err := b.c.write(b.buf, b.c.t.Block)
	b.buf = b.buf[:0]
	return err
}
