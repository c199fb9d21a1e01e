package onward

import "time"

// Retention of the delivery log, and how often old rows are cleared away.
const (
	LogRetention = 90 * 24 * time.Hour
	pruneEvery   = time.Hour
)

// housekeeping clears away what is older than its retention, and tells owners of
// app passwords what is due.
func (s *Server) housekeeping() {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	s.remind(time.Now())
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-tick.C:
			if _, err := s.queue.Prune(s.ctx, now.Add(-LogRetention)); err != nil && s.ctx.Err() == nil {
				s.log.Error("clear the delivery log of old rows", "error", err)
			}
			s.remind(now)
		}
	}
}

func (s *Server) remind(now time.Time) {
	if err := s.owners.remind(s.ctx, now); err != nil && s.ctx.Err() == nil {
		s.log.Error("tell owners of their app passwords", "error", err)
	}
}
