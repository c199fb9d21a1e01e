package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// Limits of the socket.
const (
	// MaxRequest is the largest request of an operation, in octets; the content
	// of a submission has MaxSubmission.
	MaxRequest = 1 << 20
	// maxConnections is how many are served at one time; others wait.
	maxConnections = 64
	// maxOfUser is how many of them one user has where people manage their accounts.
	maxOfUser     = maxConnections / 4
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute
	// requestTimeout bounds an operation with its transfer.
	requestTimeout = 10 * time.Minute
	// drainTimeout is how long Serve waits for requests when it is told to end.
	drainTimeout = 5 * time.Second
)

// The paths of the socket.
const (
	pathPrefix = "/v1/"
	submitName = "submit"
)

// Keys of a context: who asks, and by which connection.
type (
	peerKey struct{}
	connKey struct{}
)

// actor says who asks for an operation: a user's name, or "" if nobody knows.
func actor(ctx context.Context) string {
	s, _ := ctx.Value(peerKey{}).(string)
	return s
}

// Serve serves the operations on l until ctx ends, lets requests under way
// finish for some seconds, and closes l. It returns an error only if the
// socket fails before that.
func (s *Service) Serve(ctx context.Context, l net.Listener, log *slog.Logger) error {
	h := &handler{service: s, allowed: allowed, entries: table(append(entries(), ownEntries()...)), submits: true}
	return h.serve(ctx, l, log)
}

func table(list []entry) map[string]entry {
	t := make(map[string]entry, len(list))
	for _, e := range list {
		t[e.name] = e
	}
	return t
}

// ServeSubmissions is Serve for every user of this machine and for nothing but
// submissions. Who submits is noted with the message.
func (s *Service) ServeSubmissions(ctx context.Context, l net.Listener, log *slog.Logger) error {
	h := &handler{service: s, allowed: func(int) bool { return true }, submits: true}
	return h.serve(ctx, l, log)
}

func (h *handler) serve(ctx context.Context, l net.Listener, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h.log = log
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			log.Warn("requests on the control socket were cut off", "error", err)
			server.Close()
		}
	})
	err := server.Serve(newGate(l, h.each))
	if stop() { // it was not told to end
		return trouble("serve the control socket", err)
	}
	<-ended
	return nil
}

// allowed reports whether a user may manage us: root, and who we run as.
func allowed(uid int) bool { return uid == 0 || uid == os.Geteuid() }

// handler is the table of operations as an http.Handler.
type handler struct {
	service *Service
	log     *slog.Logger
	allowed func(uid int) bool
	entries map[string]entry
	submits bool // messages may be submitted besides
	// each is how many connections one user may have; 0: any.
	each int
}

// ServeHTTP checks who asks, finds the operation and answers.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, pathPrefix)
	peer, known := r.Context().Value(connKey{}).(*peer)
	switch {
	case !known:
		h.answer(w, nil, fail(Refused, "the server cannot tell who you are"))
	case peer.err != nil:
		h.answer(w, nil, fail(Refused, "the server cannot tell who you are: %v", peer.err))
	case !h.allowed(peer.uid):
		h.log.Warn("a user without the right tried the control socket", "uid", peer.uid, "operation", name)
		h.answer(w, nil, fail(Refused, "uid %d may not manage this server: only root and the user that it runs as may", peer.uid))
	case !ok || h.entries[name].serve == nil && !(name == submitName && h.submits):
		h.answer(w, nil, fail(Invalid, "the server has no operation %q; it may be of another version than this program", name))
	case r.Method != http.MethodPost:
		h.answer(w, nil, fail(Invalid, "operations are called with POST, not %s", r.Method))
	default:
		ctx := context.WithValue(r.Context(), peerKey{}, userName(peer.uid))
		result, err := h.do(ctx, name, w, r)
		h.answer(w, result, err)
	}
}

func (h *handler) do(ctx context.Context, name string, w http.ResponseWriter, r *http.Request) (any, error) {
	if name == submitName {
		body := http.MaxBytesReader(w, r.Body, MaxRequest+MaxSubmission)
		result, err := h.submit(ctx, body)
		// The client hears the answer only when it has sent all.
		if _, drain := io.Copy(io.Discard, body); drain != nil && err == nil {
			return nil, unreadable(drain)
		}
		return result, err
	}
	body := &boundedReader{http.MaxBytesReader(w, r.Body, MaxRequest)}
	return h.entries[name].serve(ctx, h.service, body)
}

// submit reads one line of JSON, the Envelope, and then the content.
func (h *handler) submit(ctx context.Context, body io.Reader) (any, error) {
	in := bufio.NewReaderSize(body, 64<<10)
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > MaxRequest {
			return nil, fail(Invalid, "the envelope is larger than %d octets", MaxRequest)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fail(Invalid, "the envelope was cut off: %v", err)
		}
	}
	var e Envelope
	if err := decodeOne(bytes.NewReader(line), &e); err != nil {
		return nil, err
	}
	return h.service.Submit(ctx, e, in)
}

// answer writes the result or the error.
func (h *handler) answer(w http.ResponseWriter, result any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e := typed(err)
		if e.Kind == Failed {
			h.log.Error("a control operation failed", "error", e.Message)
		}
		w.WriteHeader(statusOf(e.Kind))
		result = e
	}
	if err := json.NewEncoder(w).Encode(result); err != nil {
		h.log.Debug("answer on the control socket", "error", err)
	}
}

func statusOf(k Kind) int {
	switch k {
	case Invalid:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case Exists, InUse:
		return http.StatusConflict
	case Refused:
		return http.StatusForbidden
	case Unavailable:
		return http.StatusServiceUnavailable
	case Failed:
	}
	return http.StatusInternalServerError
}

// boundedReader tells in our words that a request is too large.
type boundedReader struct{ io.Reader }

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if over := (*http.MaxBytesError)(nil); errors.As(err, &over) {
		err = fail(Invalid, "the request is larger than %d octets", over.Limit)
	}
	return n, err
}

// userName is how the log names a user.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	u, err := user.LookupId(id)
	if err != nil {
		return "uid " + id
	}
	return u.Username
}
