package smtpd

import (
	"context"
	"strconv"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// incoming is the content that is being received.
type incoming struct {
	content transaction.Content // nil for a chunk that is thrown away
	size    int64               // octets so far
	stopped bool                // nothing more is written: it will be refused
	lines   smtp.LineScanner    // of chunks
	last    bool                // the chunk that is being read is the last
	octets  int64               // of the chunk that is being read
	cr      bool                // the last octet was CR
	lf      bool                // the last octet was LF
	mended  []byte              // memory for what normalize makes
	refusal reply.Reply         // for the chunk that is being read, if it is refused
}

// refuse notes what is wrong with the content and writes no more of it. The
// client hears it at the end (rfc1870#6.3).
func (in *incoming) refuse(r reply.Reply) {
	if !in.stopped {
		in.stopped = true
		in.content.Refuse(r)
	}
}

// data answers DATA (rfc5321#4.1.1.4).
func (s *Session) data(ctx context.Context, _ string) Next {
	if s.binary { // rfc3030#3: a final dot could be part of the content
		return s.answer(reply.BinaryNeedsBdat())
	}
	if no := s.openContent(ctx); !no.IsZero() {
		return s.answer(no)
	}
	return s.next(ReadContent, reply.StartContent())
}

// openContent asks for the place where the content goes, and returns the
// refusal if there is none.
func (s *Session) openContent(ctx context.Context) reply.Reply {
	if s.load != nil && !s.holds {
		if !s.load.enter(s.options.MaxContents) {
			return reply.ServerBusy(s.options.Hostname)
		}
		s.holds = true
	}
	c, r := s.transaction.Content(ctx)
	switch {
	case !r.IsZero() && !r.Positive():
		return r
	case c == nil:
		s.defect("Content returned neither a content nor a refusal")
		return reply.TryLater()
	}
	s.incoming = incoming{content: c}
	return reply.Reply{}
}

// Piece is not an event but a part of one: the next octets of content or of a
// chunk, unstuffed. bareCR and bareLF say that they, or those before them, have a
// CR or LF on its own. p is not kept.
func (s *Session) Piece(p []byte, bareCR, bareLF bool) {
	in := &s.incoming
	bare := bareCR || bareLF
	if in.content == nil || len(p) == 0 && !bare {
		return
	}
	if s.options.MendLF && !s.binary {
		bare = bareCR
		p = in.normalize(p, bareLF)
	}
	in.size += int64(len(p))
	switch {
	case in.stopped:
	case bare:
		in.refuse(reply.BareLineEnding()) // rfc5321#2.3.8
	case in.size > s.options.MaxSize:
		in.refuse(s.tooLarge()) // rfc1870#6.3
	default:
		if _, err := in.content.Write(p); err != nil {
			in.stopped = true // Commit knows and will say so
		}
	}
}

// normalize makes CRLF of each LF on its own, so that the line ends where readers
// that are less strict would end it, and says where the last line stands. Where a
// message ends, that was decided before: no LF makes an end.
func (in *incoming) normalize(p []byte, bareLF bool) []byte {
	if len(p) == 0 {
		return p
	}
	cr := in.cr
	in.cr, in.lf = p[len(p)-1] == '\r', p[len(p)-1] == '\n'
	if !bareLF {
		return p
	}
	in.mended = in.mended[:0]
	for _, c := range p {
		if c == '\n' && !cr {
			in.mended = append(in.mended, '\r')
		}
		in.mended = append(in.mended, c)
		cr = c == '\r'
	}
	return in.mended
}

// ContentRead is the event that the final dot has been read.
func (s *Session) ContentRead(ctx context.Context) Next { return s.commit(ctx) }

// commit ends the transaction with the replies of its content.
func (s *Session) commit(ctx context.Context) Next {
	recipients := s.accepted
	replies := s.incoming.content.Commit(ctx)
	s.forget() // the transaction ends with Commit, whatever it says
	due := 1
	if s.profile.LMTP {
		due = recipients // rfc2033#4.2
	}
	if len(replies) != due {
		// A defect, or one refusal that is meant for each.
		if len(replies) != 1 || replies[0].IsZero() || replies[0].Positive() {
			s.defect("Commit returned " + strconv.Itoa(len(replies)) + " replies and not " + strconv.Itoa(due))
			replies = []reply.Reply{reply.TryLater()}
		}
		one := replies[0]
		replies = make([]reply.Reply, due)
		for i := range replies {
			replies[i] = one
		}
	}
	return s.answerAll(replies)
}

// answerAll says the replies to one content. A message that was accepted for
// somebody wipes out the client's errors.
func (s *Session) answerAll(replies []reply.Reply) Next {
	accepted, refused, closing := false, false, false
	for i, r := range replies {
		if r.IsZero() {
			s.defect("Commit returned an empty reply")
			replies[i] = reply.TryLater()
			continue
		}
		accepted = accepted || r.Positive()
		refused = refused || r.Code() >= 500
		closing = closing || r.Code() == 421
	}
	switch {
	case accepted:
		s.errors, s.idle, s.surplus = 0, 0, 0
		if s.sent != nil && !s.praised {
			s.praised = true
			s.sent()
		}
	case refused:
		s.errors++
	}
	if closing {
		return s.bye(replies...)
	}
	if s.errors >= s.options.MaxErrors {
		n := s.bye(replies...)
		s.replies = append(s.replies, reply.TooManyErrors(s.options.Hostname))
		n.Replies = s.replies
		return n
	}
	return s.next(ReadCommand, replies...)
}

// smallChunk is how many octets a chunk must have to get a message ahead. A
// client may send less, but not without end.
const smallChunk = 1024

// bdat answers BDAT (rfc3030#2): first the chunk is read, then there is a
// reply.
func (s *Session) bdat(ctx context.Context, arg string) Next {
	size, last, err := smtp.ParseBdat(arg)
	if err != nil {
		return s.bdatRefused(arg, misread(err))
	}
	if s.stage < chunking {
		if no := s.openContent(ctx); !no.IsZero() {
			return s.bdatRefused(arg, no)
		}
		s.stage = chunking
	}
	s.incoming.last, s.incoming.octets = last, size
	return s.chunk(size)
}

// bdatRefused reads the octets of a chunk that is not wanted, so that what is
// in them is not taken for commands, and says no after them (rfc3030#2).
func (s *Session) bdatRefused(arg string, no reply.Reply) Next {
	size, last, err := smtp.ParseBdat(arg)
	if err != nil {
		no = misread(err)
	}
	s.incoming = incoming{refusal: no, last: last}
	return s.chunk(size)
}

// chunk reads size octets, unless that is so much that closing is kinder.
func (s *Session) chunk(size int64) Next {
	if size/2 > s.options.MaxSize {
		return s.bye(s.tooLarge())
	}
	n := s.next(ReadChunk)
	n.Octets = size
	return n
}

// ChunkPiece is Piece for the octets of a chunk, which are as they are meant.
func (s *Session) ChunkPiece(p []byte) {
	if s.incoming.content == nil {
		return
	}
	s.incoming.lines.Scan(p)
	l := &s.incoming.lines
	s.Piece(p, !s.binary && l.BareCR, !s.binary && l.BareLF)
}

// ChunkRead is the event that all octets of a chunk have been read. What BDAT
// said of them, the session still knows.
func (s *Session) ChunkRead(ctx context.Context) Next {
	in := &s.incoming
	switch {
	case in.content == nil: // a chunk that was refused: the transaction has failed
		return s.chunkFailed(in.refusal)
	case in.size > s.options.MaxSize:
		return s.chunkFailed(s.tooLarge())
	case !in.last:
		if in.octets < smallChunk && s.stuck() {
			return s.bye(reply.TooManyErrors(s.options.Hostname))
		}
		return s.answer(reply.Done())
	}
	unfinished := in.lines.End()
	if s.binary {
		// Any octets, to the last: no line is completed (rfc3030#3).
	} else if in.lines.BareCR || in.lines.BareLF && !s.options.MendLF {
		in.refuse(reply.BareLineEnding())
	} else if unfinished && !(s.options.MendLF && in.lf) {
		s.Piece([]byte("\r\n"), false, false) // stored content ends with a whole line
	}
	return s.commit(ctx)
}

// chunkFailed gives the transaction up that a chunk belongs to, and says no. After
// the last chunk LMTP has a reply for each recipient (rfc2033#4.3).
func (s *Session) chunkFailed(no reply.Reply) Next {
	due := 1
	if s.profile.LMTP && s.incoming.last {
		due = max(due, s.accepted)
	}
	s.abort()
	s.incoming = incoming{}
	if due == 1 || no.Code() == 421 {
		return s.answer(no)
	}
	replies := make([]reply.Reply, due)
	for i := range replies {
		replies[i] = no
	}
	return s.answerAll(replies)
}

func (s *Session) tooLarge() reply.Reply {
	return reply.MessageTooLargeContent(strconv.FormatInt(s.options.MaxSize, 10))
}
