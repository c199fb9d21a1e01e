package store

import (
	"fmt"
	"net/url"

	"github.com/ncruces/go-sqlite3"
)

// conn is one connection with its prepared statements. One goroutine uses it at
// a time.
type conn struct {
	*sqlite3.Conn
	queries map[string]*query
}

// query is a prepared statement being used. Parameters are bound in order, then
// exec runs it, or next and the columns read it and done ends it. The first
// error is kept and returned at the end.
type query struct {
	*sqlite3.Stmt
	bound int
	err   error
}

// connect opens a connection to the database file.
func connect(path, vfs string, flags sqlite3.OpenFlag) (*conn, error) {
	name := "file:" + (&url.URL{Path: path}).EscapedPath()
	if vfs != "" {
		name += "?vfs=" + url.QueryEscape(vfs)
	}
	c, err := sqlite3.OpenFlags(name, flags|sqlite3.OPEN_URI)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, queries: make(map[string]*query)}, nil
}

// use returns the statement for sql, ready for its parameters.
func (c *conn) use(sql string) *query {
	q := c.queries[sql]
	if q == nil {
		q = &query{}
		s, _, err := c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
		if err != nil {
			q.err = fmt.Errorf("prepare %q: %w", sql, err)
			return q
		}
		q.Stmt = s
		c.queries[sql] = q
	}
	q.bound, q.err = 0, nil
	return q
}

func (q *query) note(err error) *query {
	if q.err == nil && err != nil {
		q.err = err
	}
	return q
}

// int binds the next parameter.
func (q *query) int(v int64) *query {
	if q.err != nil {
		return q
	}
	q.bound++
	return q.note(q.BindInt64(q.bound, v))
}

// text binds the next parameter.
func (q *query) text(s string) *query {
	if q.err != nil {
		return q
	}
	q.bound++
	return q.note(q.BindText(q.bound, s))
}

// blob binds the next parameter; nil is an empty blob.
func (q *query) blob(b []byte) *query {
	if q.err != nil {
		return q
	}
	q.bound++
	if len(b) == 0 {
		return q.note(q.BindZeroBlob(q.bound, 0))
	}
	return q.note(q.BindBlob(q.bound, b))
}

// exec runs the statement to its end.
func (q *query) exec() error {
	if q.err != nil {
		return q.err
	}
	return q.Exec()
}

// next moves to the next row.
func (q *query) next() bool { return q.err == nil && q.Step() }

// done ends the reading and returns the first error.
func (q *query) done() error {
	if q.Stmt == nil {
		return q.err
	}
	err := q.Err()
	if rerr := q.Reset(); err == nil {
		err = rerr
	}
	if q.err == nil {
		q.err = err
	}
	return q.err
}

// one returns the first column of the first row as a number, 0 if there is none.
func (q *query) one() (int64, error) {
	var v int64
	if q.next() {
		v = q.ColumnInt64(0)
	}
	return v, q.done()
}

// close finalizes the statements and closes the connection.
func (c *conn) close() error {
	for _, q := range c.queries {
		q.Close()
	}
	c.queries = nil
	return c.Close()
}
