package store

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
)

// TestDeadDestination: a destination with very many waiting neither hides the
// others nor makes looking slow.
func TestDeadDestination(t *testing.T) {
	n := 120_000
	if testing.Short() {
		n = 10_000
	}
	dir := t.TempDir()
	q := openTestQueue(t, dir, Options{})
	ids := queue.NewIDs(1)
	ctx := context.Background()
	for i := 0; i < n; {
		e := testEntry(t, q, ids, testOptions{destination: "dead"})
		r := *e.Recipients[0]
		e.Recipients = nil
		for k := 1; k <= 1000 && i < n; k, i = k+1, i+1 {
			one := r
			one.ID.N = k
			e.Recipients = append(e.Recipients, &one)
		}
		mustNil(t, q.Enqueue(ctx, queue.Lease{}, e))
	}
	mustNil(t, q.Enqueue(ctx, queue.Lease{}, testEntry(t, q, ids, testOptions{destination: "live", due: start().Add(time.Minute)})))
	now := start().Add(time.Hour)
	began := time.Now()
	const rounds = 50
	for range rounds {
		due, _, err := q.DueDestinations(ctx, now, 10)
		mustNil(t, err)
		if len(due) != 2 || due[0].Destination != "dead" || due[0].Count != dueCountMax || due[1].Destination != "live" || due[1].Count != 1 {
			t.Fatalf("%+v", due)
		}
	}
	if each := time.Since(began) / rounds; each > 50*time.Millisecond {
		t.Errorf("a look takes %s with %d waiting", each, n)
	}
	jobs, err := q.Claim(ctx, "live", 10, now, queue.Lease{Incarnation: 1, Until: now})
	mustNil(t, err)
	if len(jobs) != 1 {
		t.Errorf("%+v", jobs)
	}
	c, err := q.Count(ctx)
	mustNil(t, err)
	mustEqual(t, "counts", c, map[queue.State]int{queue.Waiting: n, queue.Claimed: 1})
}

// TestPlans: what the queue asks often is answered from an index, never by
// walking a table.
func TestPlans(t *testing.T) {
	q := openTestQueue(t, t.TempDir(), Options{})
	err := q.db.read(context.Background(), func(c *conn) error {
		for _, sql := range []string{
			sqlSelectMessage, sqlSelectRecipient, sqlSelectLog, sqlUpdateRecipient, sqlDeleteRecipient, sqlDeleteContent,
			"SELECT " + recipientColumns + " FROM recipient INDEXED BY waiting WHERE state = 2 AND destination = ? AND due <= ? AND (expires = 0 OR expires > ?) ORDER BY due LIMIT ?",
			"SELECT " + recipientColumns + " FROM recipient INDEXED BY expiring WHERE state = 2 AND expires > 0 AND expires <= ? ORDER BY expires LIMIT ?",
			"SELECT due FROM recipient INDEXED BY waiting WHERE state = 2 AND destination = ? ORDER BY due LIMIT 1",
			"SELECT message, n, prev, data FROM log WHERE seq >= ? ORDER BY seq DESC LIMIT ?",
			sqlScanLive, sqlScanEnded,
			"SELECT id, newest, CASE WHEN oldest < ? THEN entries END FROM segment WHERE (newest, id) < (?, ?) ORDER BY newest DESC, id DESC LIMIT 1",
			"SELECT id FROM chunk WHERE id >= ? ORDER BY id LIMIT 1",
		} {
			var plan []string
			rows := c.use("EXPLAIN QUERY PLAN " + sql)
			for rows.next() {
				plan = append(plan, rows.ColumnText(3))
			}
			if err := rows.done(); err != nil {
				return err
			}
			text := strings.Join(plan, "; ")
			if strings.Contains(text, "SCAN") || strings.Contains(text, "TEMP B-TREE") {
				t.Errorf("%s\n  %s", sql, text)
			}
		}
		return nil
	})
	mustNil(t, err)
}

// TestSegments finds messages by address through several segments, whose
// messages overlap, and after restarts at any moment.
func TestSegments(t *testing.T) {
	dir := t.TempDir()
	q, err := OpenQueue(dir, Options{})
	mustNil(t, err)
	ids := queue.NewIDs(1)
	ctx := context.Background()
	const n = 3 * segmentEntries / 2 // two entries each
	var late []*queue.Entry
	want := make(map[string][]queue.ID)
	put := func(entries ...*queue.Entry) {
		for _, e := range entries {
			e.Content = q.NewContent() // of the store that is open now
		}
		mustNil(t, q.Enqueue(ctx, queue.Lease{}, entries...))
	}
	var batch []*queue.Entry
	for i := range n {
		from, to := fmt.Sprintf("s%d@d%d.example", i%701, i%13), fmt.Sprintf("r%d@example.org", i%997)
		e := testEntry(t, q, ids, testOptions{from: from, to: []string{to}})
		want[from] = append([]queue.ID{e.Message.ID}, want[from]...)
		if i%1000 == 17 {
			late = append(late, e) // content that came slowly
			continue
		}
		if batch = append(batch, e); len(batch) == 200 {
			put(batch...)
			batch = nil
		}
		if i == n/2 {
			mustNil(t, q.Close())
			q, err = OpenQueue(dir, Options{})
			mustNil(t, err)
		}
	}
	put(batch...)
	put(late...)
	for range 2 {
		for _, addr := range []string{"s17@d4.example", "s0@d0.example", "s3@d3.example"} {
			var got []queue.ID
			l, err := q.List(ctx, queue.Filter{Sender: addr, Limit: MaxList})
			mustNil(t, err)
			for _, r := range l {
				got = append(got, r.Message.ID)
			}
			mustEqual(t, addr, got, want[addr])
		}
		l, err := q.List(ctx, queue.Filter{Sender: "@d4.example", Limit: MaxList})
		mustNil(t, err)
		if len(l) != (n-4+12)/13 {
			t.Errorf("%d of the domain, want %d", len(l), (n-4+12)/13)
		}
		for i := 1; i < len(l); i++ {
			if l[i].Message.ID >= l[i-1].Message.ID {
				t.Fatalf("row %d is newer than row %d", i, i-1)
			}
		}
		segments, err := q.db.writerCount("SELECT count(*) FROM segment")
		mustNil(t, err)
		if segments < 2 {
			t.Errorf("%d segments", segments)
		}
		mustNil(t, q.Close())
		q, err = OpenQueue(dir, Options{})
		mustNil(t, err)
	}
	mustNil(t, q.Close())
}

// writerCount asks for a number.
func (d *database) writerCount(sql string) (n int64, err error) {
	err = d.read(context.Background(), func(c *conn) error {
		n, err = c.use(sql).one()
		return err
	})
	return n, err
}

// TestMany: many at once, each with its own life; at the end the counts agree.
func TestMany(t *testing.T) {
	q := openTestQueue(t, t.TempDir(), Options{checkpoint: 50})
	ids := queue.NewIDs(1)
	ctx := context.Background()
	var wg sync.WaitGroup
	lease := queue.Lease{Incarnation: 1, Until: start().Add(time.Hour)}
	const each = 40
	for g := range 16 {
		wg.Go(func() {
			for i := range each {
				e := testEntry(t, q, ids, testOptions{state: queue.Claimed, to: []string{fmt.Sprintf("r%d@example.org", g)}, body: big(1000 * (i%5 + 1))})
				if err := q.Enqueue(ctx, lease, e); err != nil {
					t.Error(err)
				}
				id := e.Recipients[0].ID
				ev := []queue.Event{queue.Succeeded, queue.Troubled, queue.Failed}[i%3]
				err := q.Record(ctx, &queue.Record{Now: start(), Changes: []queue.Change{{ID: id, Event: ev, Due: start(), Outcome: testOutcome(id, queue.Trouble)}}})
				if err != nil {
					t.Error(err)
				}
				if _, err := q.List(ctx, queue.Filter{Recipient: e.Recipients[0].Address.String(), Limit: 3}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	c, err := q.Count(ctx)
	mustNil(t, err)
	mustEqual(t, "counts", c, map[queue.State]int{queue.Waiting: 16 * 13})
	for sql, want := range map[string]int64{
		"SELECT count(*) FROM recipient": 16 * 13, "SELECT count(*) FROM ended": 16 * 27, "SELECT count(*) FROM content": 16 * 13,
		"SELECT count(*) FROM log": 16 * each, "SELECT count(*) FROM message": 16 * each,
	} {
		if n, err := q.db.writerCount(sql); err != nil || n != want {
			t.Errorf("%s: %d, %v; want %d", sql, n, err, want)
		}
	}
	if len(q.leases) != 0 {
		t.Errorf("%d leases stayed", len(q.leases))
	}
}

// TestVacuum: what has been deleted goes back to the disk, but for a reserve.
func TestVacuum(t *testing.T) {
	q := openTestQueue(t, t.TempDir(), Options{})
	ids := queue.NewIDs(1)
	ctx := context.Background()
	lease := queue.Lease{Incarnation: 1, Until: start().Add(time.Hour)}
	e := testEntry(t, q, ids, testOptions{state: queue.Claimed, body: big(40 << 20)})
	mustNil(t, q.Enqueue(ctx, lease, e))
	before, err := q.db.writerCount("PRAGMA page_count")
	mustNil(t, err)
	id := e.Recipients[0].ID
	mustNil(t, q.Record(ctx, &queue.Record{Now: start(), Changes: []queue.Change{{ID: id, Event: queue.Succeeded, Outcome: testOutcome(id, queue.Success)}}}))
	_, err = q.Prune(ctx, start())
	mustNil(t, err)
	after, err := q.db.writerCount("PRAGMA page_count")
	mustNil(t, err)
	free, err := q.db.writerCount("PRAGMA freelist_count")
	mustNil(t, err)
	if after >= before || free > sparePages+vacuumPages || free < sparePages-vacuumPages {
		t.Errorf("%d pages before, %d after, of them %d free", before, after, free)
	}
}

func drawText(t *rapid.T, name string) string {
	return rapid.StringN(0, 40, 200).Draw(t, name)
}

// TestOutcomeCodec: whatever a stranger's server said comes back as it was.
func TestOutcomeCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := queue.RecipientID{Message: 5, N: 2}
		o := &queue.Outcome{
			Recipient: id, Kind: queue.Kind(rapid.IntRange(0, 2).Draw(t, "kind")), Scope: queue.Scope(rapid.IntRange(0, 2).Draw(t, "scope")),
			At: time.UnixMicro(rapid.Int64Range(1, 1<<52).Draw(t, "at")).UTC(), Took: time.Duration(rapid.Int64().Draw(t, "took")),
			Attempt: rapid.IntRange(0, 1000).Draw(t, "attempt"), Host: drawText(t, "host"), Addr: drawText(t, "addr"), TLS: drawText(t, "tls"),
			Command: drawText(t, "command"), Cause: drawText(t, "cause"), Status: drawText(t, "status"), Detail: drawText(t, "detail"),
			Heard: smtp.Reply{Code: rapid.IntRange(0, 999).Draw(t, "code"), Enhanced: drawText(t, "enhanced")},
		}
		for range rapid.IntRange(0, 5).Draw(t, "lines") {
			o.Heard.Lines = append(o.Heard.Lines, drawText(t, "line"))
		}
		row := queue.LogRow{
			At: o.At, Kind: queue.LogAttempt, State: queue.Waiting, Due: o.At, Linked: 9, Note: drawText(t, "note"), Outcome: o, Message: 5, N: 2,
		}
		coded := encodeLog(nil, &row)
		back := queue.LogRow{Message: 5, N: 2}
		if err := decodeLog(&back, coded); err != nil || !reflect.DeepEqual(row, back) {
			t.Fatalf("%v\n%+v\n%+v", err, row, back)
		}
		// What is cut off or longer is damaged, and never panics.
		cut := rapid.IntRange(0, len(coded)-1).Draw(t, "cut")
		if err := decodeLog(&queue.LogRow{}, coded[:cut]); err == nil {
			t.Fatalf("%d of %d octets decode", cut, len(coded))
		}
		if err := decodeLog(&queue.LogRow{}, append(coded, 0)); err == nil {
			t.Fatal("more than a row decodes")
		}
	})
}

// FuzzDecode: nothing that may stand in a damaged file makes the decoders panic.
func FuzzDecode(f *testing.F) {
	q := openTestQueue(f, f.TempDir(), Options{})
	e := testEntry(f, q, queue.NewIDs(1), testOptions{target: "x@example.net"})
	f.Add(encodeMessage(nil, e.Message))
	f.Add(encodeRecipient(nil, e.Recipients[0]))
	f.Add(encodeLog(nil, &queue.LogRow{Outcome: testOutcome(e.Recipients[0].ID, queue.Failure)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMessage(1, b); err == nil {
			again, err := decodeMessage(1, encodeMessage(nil, m))
			if err != nil || !reflect.DeepEqual(m, again) {
				t.Errorf("%v\n%+v\n%+v", err, m, again)
			}
		}
		_ = decodeRecipient(&queue.Recipient{}, b)
		_ = decodeLog(&queue.LogRow{}, b)
	})
}
