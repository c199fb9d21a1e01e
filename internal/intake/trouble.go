package intake

import (
	"errors"

	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/transaction"
)

// trouble is the one place where an error of ours becomes a reply. What it does
// not know is temporary: a defect must not bounce mail.
func (h *Handler) trouble(doing string, p *transaction.Peer, err error) reply.Reply {
	h.opt.Logger.Error(doing, "session", p.Session, "error", err)
	if errors.Is(err, queue.ErrFull) {
		return reply.StorageLow()
	}
	return reply.TryLater()
}
