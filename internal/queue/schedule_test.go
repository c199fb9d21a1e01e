package queue

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	far := now.Add(365 * 24 * time.Hour)
	s := DefaultSchedule()
	for n, want := range map[int]time.Duration{
		-1: time.Minute, 0: time.Minute, 1: time.Minute, 2: 5 * time.Minute, 3: 15 * time.Minute, 4: 30 * time.Minute,
		5: time.Hour, 6: 2 * time.Hour, 7: 4 * time.Hour, 8: 4 * time.Hour, 1000: 4 * time.Hour,
	} {
		for random, part := range map[float64]float64{0: 0.8, 0.25: 0.9, 0.5: 1, 0.75: 1.1} {
			got := s.Next(n, now, far, random).Sub(now)
			if d := got - time.Duration(float64(want)*part); d.Abs() > time.Microsecond {
				t.Errorf("after attempt %d with %v: %s, want %v of %s", n, random, got, part, want)
			}
		}
		if got := s.Next(n, now, far, 0.999999).Sub(now); got > want*12/10 {
			t.Errorf("after attempt %d at most %s, got %s", n, want*12/10, got)
		}
		if got := s.Next(n, now, now.Add(time.Second), 0.5); !got.Equal(now.Add(time.Second)) {
			t.Errorf("after attempt %d: %s is after the end", n, got)
		}
	}
	if got := (Schedule{}).Next(1, now, far, 0.5); !got.Equal(now.Add(time.Minute)) {
		t.Errorf("without delays the next attempt is at %s", got)
	}
}

func TestNoticeDue(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := DefaultSchedule()
	for _, tt := range []struct {
		age     time.Duration
		left    time.Duration
		delayed bool
		notice  time.Duration
		want    bool
	}{
		{4 * time.Hour, time.Hour, false, s.Notice, true},
		{4*time.Hour - 1, time.Hour, false, s.Notice, false},
		{5 * time.Hour, time.Hour, true, s.Notice, false}, // once
		{5 * time.Hour, time.Hour, false, 0, false},       // never
		{120 * time.Hour, 0, false, s.Notice, false},      // the report is due
		{120 * time.Hour, -time.Second, false, s.Notice, false},
	} {
		s.Notice = tt.notice
		r := &Recipient{Delayed: tt.delayed, Expires: now.Add(tt.left)}
		if got := s.noticeDue(r, now.Add(-tt.age), now); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
		s = DefaultSchedule()
	}
}
