package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Conn is a way to carry out operations: by the running server, or here. It is
// safe for concurrent use.
type Conn struct {
	service *Service
	close   func() error
	client  *http.Client
	dir     string
}

// How long Open waits for another program that holds the data folder, and how
// often it looks.
const (
	patience = 10 * time.Second
	lookEach = 50 * time.Millisecond
)

// ErrBusy is what the function given to Open returns (wrapped) if another
// process holds the folder.
var ErrBusy = errors.New("the data folder is in use")

// Open connects to the server of a data folder. If none runs, local opens the
// stores under the folder's lock and returns a Service without a Runner, and
// how to close it. While another process holds the lock (a server that is just
// starting, another command), Open tries again for some seconds.
func Open(ctx context.Context, dir string, local func(context.Context) (*Service, func() error, error)) (*Conn, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for {
		c, err := dial(dir)
		if !errors.Is(err, errNobody) {
			return c, err
		}
		service, closer, err := local(ctx)
		if err == nil {
			return &Conn{service: service, close: closer, dir: dir}, nil
		}
		if !errors.Is(err, ErrBusy) {
			return nil, typed(err)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return nil, &Error{Kind: Unavailable, Message: err.Error(), cause: err}
		case <-ctx.Done():
			return nil, trouble("wait for the data folder", ctx.Err())
		}
	}
}

// Dial connects to the running server of a data folder. If there is none the
// error is of the kind Unavailable.
func Dial(dir string) (*Conn, error) {
	c, err := dial(dir)
	if errors.Is(err, errNobody) {
		return nil, fail(Unavailable, "no server is running on %s; start it with: onward serve", dir)
	}
	return c, err
}

// Local returns a Conn that carries operations out on a Service of this
// process.
func Local(s *Service) *Conn { return &Conn{service: s} }

// DialAll connects to a socket of [ListenAll]; only Submit can be asked for
// there, or only what owners of accounts may ask for.
func DialAll(path string) (*Conn, error) {
	c, err := dialPath(path, filepath.Dir(path))
	if errors.Is(err, errNobody) {
		return nil, fail(Unavailable, "no server listens on %s; start it with: onward serve", path)
	}
	return c, err
}

func dial(dir string) (*Conn, error) { return dialPath(filepath.Join(dir, SocketFile), dir) }

func dialPath(path, dir string) (*Conn, error) {
	first, err := dialSocket(path)
	if err != nil {
		return nil, err
	}
	given := make(chan net.Conn, 1) // the connection that told that someone is there is used first
	given <- first
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			select {
			case c := <-given:
				return c, nil
			default:
				return dialSocket(path)
			}
		},
		MaxIdleConns: 1, DisableCompression: true,
	}
	return &Conn{
		client: &http.Client{Transport: transport, Timeout: requestTimeout}, dir: dir,
		close: func() error {
			select {
			case c := <-given:
				c.Close()
			default:
			}
			transport.CloseIdleConnections()
			return nil
		},
	}, nil
}

// Remote reports whether a running server does the work.
func (c *Conn) Remote() bool { return c.service == nil }

// Close gives back what Open took.
func (c *Conn) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// here is the context of an operation that is carried out in this process.
func here(ctx context.Context) context.Context {
	return context.WithValue(ctx, peerKey{}, userName(os.Geteuid()))
}

// maxAnswer is the largest answer that is read, in octets.
const maxAnswer = 256 << 20

// post calls an operation on the socket. Every error is an *Error.
func (c *Conn) post(ctx context.Context, name, kind string, body io.Reader, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://onward"+pathPrefix+name, body)
	if err != nil {
		return trouble("ask the server", err)
	}
	r.Header.Set("Content-Type", kind)
	answer, err := c.client.Do(r)
	if err != nil {
		if e := (*Error)(nil); errors.As(err, &e) {
			return e
		}
		return &Error{Kind: Unavailable, Message: fmt.Sprintf("the server of %s did not answer: %v; look at its log", c.dir, err), cause: err}
	}
	defer answer.Body.Close()
	decode := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer))
	if answer.StatusCode == http.StatusOK {
		if err := decode.Decode(into); err != nil {
			return &Error{Kind: Unavailable, Message: fmt.Sprintf("the server's answer was cut off: %v", err), cause: err}
		}
		return nil
	}
	e := new(Error)
	if err := decode.Decode(e); err != nil || e.Message == "" {
		return fail(Failed, "the server answered %s and no reason; look at its log", answer.Status)
	}
	return e
}

// submit sends the envelope in one line and then the content.
func (c *Conn) submit(ctx context.Context, e Envelope, content io.Reader) (Submitted, error) {
	var done Submitted
	line, err := json.Marshal(e)
	if err != nil {
		return done, trouble("write the envelope", err)
	}
	body := io.MultiReader(bytes.NewReader(append(line, '\n')), content)
	return done, c.post(ctx, submitName, "application/octet-stream", body, &done)
}
