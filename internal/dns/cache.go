package dns

import "time"

// How long answers are kept. The time that the answer states counts, within these limits.
const (
	minTTL = 5 * time.Second // also for answers that state 0: one delivery asks several times
	maxTTL = 24 * time.Hour
	// maxNegativeTTL bounds how long an absence is believed (rfc2308#5 suggests at most 3 hours). It is short for the sake
	// of people who mend their zone and try again.
	maxNegativeTTL = 15 * time.Minute
	// failureTTL is how long a timeout or SERVFAIL stands for new questions of the same kind (rfc9520#3.2: between 1 second
	// and 5 minutes). It is below the first retry of the queue.
	failureTTL = 10 * time.Second
)

const (
	// maxCachedOctets is the size in wire form of an answer that is worth keeping; greater ones are asked for again.
	maxCachedOctets = 4096
	// evictionSample is how many entries are looked at to find one to give up when the cache is full.
	evictionSample = 16
)

// keepTime is how long a fresh result may be used.
func keepTime(r *result) time.Duration {
	switch {
	case r.err != nil && r.err.Kind != NotFound:
		return failureTTL
	case r.err != nil || r.empty():
		return min(max(r.ttl, minTTL), maxNegativeTTL)
	}
	return min(max(r.ttl, minTTL), maxTTL)
}

func (r *result) empty() bool {
	return len(r.mx) == 0 && len(r.addresses) == 0 && len(r.texts) == 0 && len(r.tlsa) == 0
}

// cache is a bounded memory of results. It has no lock of its own.
type cache struct {
	max     int
	entries map[question]entry
}

type entry struct {
	result  *result
	expires time.Time
}

// get returns what is known at now, and for how long.
func (c *cache) get(q question, now time.Time) (*result, time.Duration, bool) {
	e, ok := c.entries[q]
	if !ok {
		return nil, 0, false
	}
	left := e.expires.Sub(now)
	if left <= 0 {
		delete(c.entries, q)
		return nil, 0, false
	}
	return e.result, left, true
}

// put keeps a result, giving up another if there is no room.
func (c *cache) put(q question, r *result, octets int, now time.Time) {
	if octets > maxCachedOctets {
		return
	}
	if _, ok := c.entries[q]; !ok && len(c.entries) >= c.max {
		c.evict(now)
	}
	c.entries[q] = entry{r, now.Add(keepTime(r))}
}

// evict looks at a few entries, which the map gives in random order, and deletes those that are over, or else the one
// that would be over first.
func (c *cache) evict(now time.Time) {
	var victim question
	var earliest time.Time
	looked, freed := 0, false
	for q, e := range c.entries {
		if !e.expires.After(now) {
			delete(c.entries, q)
			freed = true
		} else if earliest.IsZero() || e.expires.Before(earliest) {
			victim, earliest = q, e.expires
		}
		if looked++; looked == evictionSample {
			break
		}
	}
	if !freed {
		delete(c.entries, victim)
	}
}
