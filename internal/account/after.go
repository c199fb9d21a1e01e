package account

import (
	"context"
	"encoding/base64"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode"
)

// What is done after the client has its reply, so that it learns nothing from
// the time that it takes.
const (
	// maxAfter bounds what waits; what comes beyond is not looked into.
	maxAfter = 256
	// diagnoses is how often in diagnosesIn the passwords of one account are looked
	// into: more of it would help a guesser's diary and nobody else.
	diagnoses   = 3
	diagnosesIn = time.Minute
	// diagnosesAtOnce of all accounts may come at once, and one in each diagnosesEach:
	// a flood of guesses must not be made a bigger one.
	diagnosesAtOnce = 20
	diagnosesEach   = time.Second
	// afterPatience is how long one job may take.
	afterPatience = 30 * time.Second
)

// job is one thing to do afterwards: keep a secret anew, or find out what was
// wrong with a password and note the failure.
type job struct {
	upgrade bool
	// reached, if set, is all that there is to the job: it is closed.
	reached chan struct{}
	attempt attempt
	failure Failure
}

// afterwards does jobs one at a time, in a goroutine that lives while there are
// any.
type afterwards struct {
	mu      sync.Mutex // guards what follows
	jobs    []job
	working bool
	looked  map[string]tries
	free    time.Time // when diagnosesAtOnce are free again
}

// tries counts within a time.
type tries struct {
	n     int
	since time.Time
}

func (w *afterwards) init() {
	w.looked = make(map[string]tries)
}

// add takes a job; it reports false if there are too many.
func (w *afterwards) add(c *Checker, j job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.jobs) >= maxAfter {
		return false
	}
	w.jobs = append(w.jobs, j)
	if !w.working {
		w.working = true
		go c.work()
	}
	return true
}

// mayLook reports whether the password of a login may be looked into now.
func (w *afterwards) mayLook(login string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.looked[login]
	if now.Sub(t.since) >= diagnosesIn {
		if len(w.looked) >= maxAfter {
			clear(w.looked)
		}
		t = tries{since: now}
	}
	t.n++
	w.looked[login] = t
	if t.n > diagnoses {
		return false
	}
	if w.free.Before(now) {
		w.free = now
	}
	if w.free.Sub(now) > (diagnosesAtOnce-1)*diagnosesEach {
		return false
	}
	w.free = w.free.Add(diagnosesEach)
	return true
}

func (c *Checker) work() {
	w := &c.after
	for {
		w.mu.Lock()
		if len(w.jobs) == 0 {
			w.working = false
			w.mu.Unlock()
			return
		}
		j := w.jobs[0]
		w.jobs = w.jobs[1:]
		w.mu.Unlock()
		if j.reached != nil {
			close(j.reached)
			continue
		}
		c.do(&j)
	}
}

func (c *Checker) do(j *job) {
	ctx, cancel := context.WithTimeout(context.Background(), afterPatience)
	defer cancel()
	log := j.attempt.policy.Log
	defer func() { // nobody waits for this work: a defect here must not end the process
		if p := recover(); p != nil {
			log.Error("defect: the work after a login panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if !j.upgrade {
		defer func() { c.directory.Failed(j.failure) }()
		if cause, ok := c.diagnose(ctx, &j.attempt); ok && j.failure.Cause == WrongPassword {
			j.failure.Cause = cause
		}
		return
	}
	j.attempt.home = false
	release, err := c.turn(ctx, &j.attempt)
	if err != nil {
		return // the next login tries again
	}
	defer release()
	u, err := c.upgrade(&j.attempt)
	if err == nil {
		err = c.directory.UpgradeSecret(ctx, u)
	}
	if err != nil { // the next login tries again
		log.Warn("a secret could not be kept anew", "login", j.attempt.acc.Login, "error", err)
	}
}

// Settle waits until what is to be done afterwards by now has been done: whoever reads
// failures wants to know of all, and a server that ends must not lose any.
func (c *Checker) Settle(ctx context.Context) {
	w := &c.after
	w.mu.Lock()
	if !w.working {
		w.mu.Unlock()
		return
	}
	reached := make(chan struct{})
	w.jobs = append(w.jobs, job{reached: reached}) // it is no work, so it has no bound
	w.mu.Unlock()
	select {
	case <-reached:
	case <-ctx.Done():
	}
}

// diagnose tries what people and programs make of a right password.
func (c *Checker) diagnose(ctx context.Context, a *attempt) (Cause, bool) {
	if !c.after.mayLook(a.login, a.now) {
		return "", false
	}
	a.home = false // nobody waits for this
	for _, v := range variants(a.cred.Secret) {
		release, err := c.turn(ctx, a)
		if err != nil {
			return "", false
		}
		right, err := matches(v.secret, a.stored)
		release()
		if err == nil && right {
			return v.cause, true
		}
	}
	return "", false
}

type variant struct {
	cause  Cause
	secret string
}

// variants are what a wrong password may have been meant to be: at most four.
func variants(secret string) []variant {
	var all []variant
	add := func(cause Cause, s string) {
		if s != secret && s != "" {
			all = append(all, variant{cause, s})
		}
	}
	add(SpaceAdded, strings.TrimFunc(secret, unicode.IsSpace))
	add(QuotesChanged, straighten(secret))
	add(CaseSwapped, strings.Map(swapCase, secret))
	if text, err := base64.StdEncoding.DecodeString(secret); err == nil {
		add(Base64Twice, string(text))
	}
	return all
}

// straighten undoes what keyboards make of quotes and hyphens on their own.
func straighten(s string) string {
	return strings.NewReplacer(
		"\u2018", "'", "\u2019", "'", "\u201a", "'", "\u2032", "'", "\u201c", `"`, "\u201d", `"`, "\u201e", `"`, "\u2033", `"`,
		"\u00ab", `"`, "\u00bb", `"`, "\u2013", "--", "\u2014", "--", "\u2026", "...",
	).Replace(s)
}

// swapCase is what Caps Lock does.
func swapCase(r rune) rune {
	if unicode.IsUpper(r) {
		return unicode.ToLower(r)
	}
	return unicode.ToUpper(r)
}
