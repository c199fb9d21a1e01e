package store

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/queue"
)

// bench runs f b.N times by n goroutines and reports the processor time of each
// call as cpu-µs/op.
func bench(b *testing.B, n int, f func(i int)) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	before := cpuTime()
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					return
				}
				f(i)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func benchEntry(b *testing.B, q *Queue, ids *queue.IDs, i int, body []byte) *queue.Entry {
	e := testEntry(b, q, ids, testOptions{
		from: fmt.Sprintf("sender%d@example.com", i%1000), to: []string{fmt.Sprintf("user%d@example.org", i%5000)},
		target: fmt.Sprintf("user%d@example.net", i%5000), state: queue.Claimed, body: body,
	})
	return e
}

func BenchmarkEnqueue(b *testing.B) {
	body := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz mail body line\r\n"), 4096/53)
	for _, n := range []int{1, 20, 100} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			q := openTestQueue(b, b.TempDir(), Options{})
			ids := queue.NewIDs(1)
			lease := queue.Lease{Incarnation: 1, Until: time.Now().Add(time.Hour)}
			b.ReportAllocs()
			bench(b, n, func(i int) {
				if err := q.Enqueue(context.Background(), lease, benchEntry(b, q, ids, i, body)); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkRecord measures the recording of a delivery.
func BenchmarkRecord(b *testing.B) {
	body := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz mail body line\r\n"), 4096/53)
	for _, n := range []int{1, 20, 100} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			q := openTestQueue(b, b.TempDir(), Options{})
			ids := queue.NewIDs(1)
			lease := queue.Lease{Incarnation: 1, Until: time.Now().Add(time.Hour)}
			all := make([]queue.RecipientID, b.N+1)
			for i := 1; i <= b.N; {
				var entries []*queue.Entry
				for ; i <= b.N && len(entries) < 200; i++ {
					e := benchEntry(b, q, ids, i, body)
					all[i] = e.Recipients[0].ID
					entries = append(entries, e)
				}
				if err := q.Enqueue(context.Background(), lease, entries...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			bench(b, n, func(i int) {
				rec := &queue.Record{Now: time.Now(), Changes: []queue.Change{{
					ID: all[i], Event: queue.Succeeded, Outcome: testOutcome(all[i], queue.Success),
				}}}
				if err := q.Record(context.Background(), rec); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkThrough measures a message's whole way through the store: taken, and
// its delivery recorded.
func BenchmarkThrough(b *testing.B) {
	body := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz mail body line\r\n"), 4096/53)
	for _, n := range []int{1, 20, 100} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			q := openTestQueue(b, b.TempDir(), Options{})
			ids := queue.NewIDs(1)
			lease := queue.Lease{Incarnation: 1, Until: time.Now().Add(time.Hour)}
			b.ReportAllocs()
			bench(b, n, func(i int) {
				e := benchEntry(b, q, ids, i, body)
				if err := q.Enqueue(context.Background(), lease, e); err != nil {
					b.Error(err)
				}
				id := e.Recipients[0].ID
				rec := &queue.Record{Now: time.Now(), Changes: []queue.Change{{ID: id, Event: queue.Succeeded, Outcome: testOutcome(id, queue.Success)}}}
				if err := q.Record(context.Background(), rec); err != nil {
					b.Error(err)
				}
			})
		})
	}
}
