package main

import (
	"bufio"
	"errors"
	"io"
)

// dotReader ends at a line that is a single dot, as sendmail does without -i.
type dotReader struct {
	r    *bufio.Reader
	line []byte // what is left of the current line
	// fresh says that the next piece begins a line.
	fresh bool
	err   error
}

func newDotReader(r io.Reader) *dotReader {
	return &dotReader{r: bufio.NewReaderSize(r, 32<<10), fresh: true}
}

func (d *dotReader) Read(p []byte) (int, error) {
	for len(d.line) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		begins := d.fresh
		d.line, d.err = d.r.ReadSlice('\n')
		if errors.Is(d.err, bufio.ErrBufferFull) {
			d.err = nil
		}
		d.fresh = len(d.line) > 0 && d.line[len(d.line)-1] == '\n'
		if s := string(d.line); begins && (s == ".\n" || s == ".\r\n" || s == "." && d.err != nil) {
			d.line, d.err = nil, io.EOF
		}
	}
	n := copy(p, d.line)
	d.line = d.line[n:]
	return n, nil
}
