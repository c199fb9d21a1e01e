package control_test

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
)

func TestBans(t *testing.T) {
	g := account.NewGuesses(account.GuessOptions{Delay: 1, Ban: 2, BanTime: time.Hour})
	s := control.New(control.Options{Bans: g})
	ban := func(client string) {
		for i := range 2 {
			g.Wrong(netip.MustParseAddr(client), "anna", "wrong"+strconv.Itoa(i), time.Now())
		}
	}
	ban("192.0.2.1")
	ban("198.51.100.1")
	ban("2001:db8::1")
	list, err := s.ListBans(context.Background(), control.Nothing{})
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, c := range []struct {
		q    control.LiftBanRequest
		want string // the networks lifted, or the kind and what the message has
	}{
		{control.LiftBanRequest{}, "invalid: --all"},
		{control.LiftBanRequest{Network: "192.0.2.1", All: true}, "invalid: stands alone"},
		{control.LiftBanRequest{Network: "192.0.2"}, "invalid: 192.0.2.1/32"},
		{control.LiftBanRequest{Network: "192.0.2.0/24"}, "not_found: onward ban remove 192.0.2.1/32"},
		{control.LiftBanRequest{Network: "192.0.2.2"}, "not_found: onward ban list"},
		{control.LiftBanRequest{Network: "::ffff:192.0.2.1"}, "192.0.2.1/32"},
		{control.LiftBanRequest{Network: "2001:db8::77"}, "2001:db8::/64"},
		{control.LiftBanRequest{All: true}, "198.51.100.1/32"},
		{control.LiftBanRequest{All: true}, ""},
	} {
		r, err := s.LiftBan(context.Background(), c.q)
		if err != nil {
			kind, text, _ := strings.Cut(c.want, ": ")
			if string(control.KindOf(err)) != kind || !strings.Contains(err.Error(), text) {
				t.Errorf("%+v: %v (%s), want %q", c.q, err, control.KindOf(err), c.want)
			}
			continue
		}
		var got []string
		for _, n := range r.Lifted {
			got = append(got, n.String())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v lifted %v, want %q", c.q, got, c.want)
		}
	}
	if _, err := control.New(control.Options{}).ListBans(context.Background(), control.Nothing{}); control.KindOf(err) != control.Unavailable {
		t.Errorf("without a server: %v", err)
	}
}
