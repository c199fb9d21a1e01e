package dns

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

const sample = `
; the one of the comment
example.net.     MX    20 mx2.example.net.
EXAMPLE.net      MX    10 MX.example.net   ; no final dots
mx.example.net.  A     127.0.0.1
mx.example.net.  300   AAAA ::1
example.net.     TXT   "v=spf1 mx" " -all; \"x\" \\ \255"
www.example.net. CNAME mx.example.net.
192.0.2.1        PTR   mx.example.net.
2.2.0.192.in-addr.arpa. PTR mx2.example.net
2001:db8::1      PTR   six.example.net.
_25._tcp.mx.example.net. TLSA 3 1 1 0123ABCD SECURE
nullmx.example.  MX    0 .
slow.example.    TIMEOUT
broken.example.  SERVFAIL
half.example.    AAAA  TIMEOUT
half.example.    A     192.0.2.9
halfempty.example. AAAA SERVFAIL
gone.example.    NXDOMAIN
signed.example.  SECURE
signed.example.  A     192.0.2.1
tosigned.example. CNAME signed.example. secure
unsigned.example. CNAME signed.example.
loop.example.    CNAME pool.example.
pool.example.    CNAME loop.example.
toslow.example.  CNAME slow.example.
tonowhere.example. CNAME nowhere.example.   # dangling
`

func sampleZone(t testing.TB) *Zone {
	t.Helper()
	z, err := ParseZone("zone", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// want compares an answer's records and its Authentic.
func want[T any](t *testing.T, what string, got Answer[T], err error, authentic bool, records ...T) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if len(got.Records) != len(records) || len(records) > 0 && !reflect.DeepEqual(got.Records, records) {
		t.Errorf("%s: %+v, want %+v", what, got.Records, records)
	}
	if got.Authentic != authentic {
		t.Errorf("%s: authentic %v", what, got.Authentic)
	}
}

// wantKind compares an error's kind, and what the two questions about errors say of it.
func wantKind(t *testing.T, what string, err error, kind Kind) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Errorf("%s: %v; want kind %d (%s)", what, err, kind, kind)
	}
	if IsNotFound(err) != (kind == NotFound) || IsTemporary(err) != (kind != NotFound) {
		t.Errorf("%s: IsNotFound %v, IsTemporary %v", what, IsNotFound(err), IsTemporary(err))
	}
}

func TestZone(t *testing.T) {
	z, ctx := sampleZone(t), context.Background()

	mx, err := z.MX(ctx, "Example.NET.")
	want(t, "mx", mx, err, false, MX{"mx.example.net", 10}, MX{"mx2.example.net", 20})
	mx, err = z.MX(ctx, "nullmx.example")
	want(t, "null mx", mx, err, false, MX{".", 0})
	if !mx.Records[0].IsNull() {
		t.Error("null MX is not null")
	}
	mx, err = z.MX(ctx, "mx.example.net")
	want(t, "no mx", mx, err, false)

	a, err := z.Addresses(ctx, "mx.example.net")
	want(t, "addresses", a, err, false, addrs("127.0.0.1", "::1")...)
	if a.TTL != 300*time.Second {
		t.Errorf("TTL %v", a.TTL)
	}
	a, err = z.Addresses(ctx, "www.example.net")
	want(t, "alias", a, err, false, addrs("127.0.0.1", "::1")...)
	if a.Name != "mx.example.net" {
		t.Errorf("the alias leads to %q", a.Name)
	}
	a, err = z.Addresses(ctx, "half.example")
	want(t, "half", a, err, false, addrs("192.0.2.9")...)
	a, err = z.Addresses(ctx, "signed.example")
	want(t, "signed", a, err, true, addrs("192.0.2.1")...)
	a, err = z.Addresses(ctx, "tosigned.example")
	want(t, "signed alias", a, err, true, addrs("192.0.2.1")...)
	a, err = z.Addresses(ctx, "unsigned.example")
	want(t, "unsigned alias", a, err, false, addrs("192.0.2.1")...)

	txt, err := z.TXT(ctx, "example.net")
	want(t, "txt", txt, err, false, "v=spf1 mx -all; \"x\" \\ \xff")
	tlsa, err := z.TLSA(ctx, "_25._tcp.mx.example.net")
	want(t, "tlsa", tlsa, err, true, TLSA{3, 1, 1, []byte{0x01, 0x23, 0xab, 0xcd}})
	tlsa, err = z.TLSA(ctx, "_tcp.mx.example.net")
	want(t, "name above", tlsa, err, false)
	for addr, name := range map[string]string{
		"192.0.2.1": "mx.example.net", "::ffff:192.0.2.1": "mx.example.net", "192.0.2.2": "mx2.example.net", "2001:db8::1": "six.example.net",
	} {
		ptr, err := z.PTR(ctx, netip.MustParseAddr(addr))
		want(t, "ptr "+addr, ptr, err, false, name)
	}
}

func TestZoneTrouble(t *testing.T) {
	z, ctx := sampleZone(t), context.Background()
	for name, kind := range map[string]Kind{
		"slow.example": Timeout, "broken.example": ServerFailure, "gone.example": NotFound, "never.listed": NotFound, "": NotFound,
		"halfempty.example": ServerFailure, "loop.example": ServerFailure, "toslow.example": Timeout, "tonowhere.example": NotFound,
		strings.Repeat("a", 64) + ".example": NotFound, "a..b": NotFound,
	} {
		_, err := z.Addresses(ctx, name)
		wantKind(t, name, err, kind)
	}
	_, err := z.PTR(ctx, netip.Addr{})
	wantKind(t, "no address", err, NotFound)
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err = z.MX(done, "example.net")
	wantKind(t, "cancelled", err, Timeout)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not wrap its cause", err)
	}
	if IsTemporary(nil) || IsNotFound(nil) || !IsTemporary(errors.New("unknown")) {
		t.Error("nil or an unknown error is misjudged")
	}
	if _, err := z.MX(ctx, "gone.example"); err.Error() != "look up MX of gone.example: the name does not exist (NXDOMAIN from zone file)" {
		t.Error(err)
	}
}

func TestZoneErrors(t *testing.T) {
	for text, message := range map[string]string{
		"example.net":                             "z:1: example.net: a record type (A, AAAA, CNAME, MX, PTR, TLSA, TXT) or TIMEOUT, SERVFAIL, NXDOMAIN or SECURE must follow the name",
		"\nexample.net SLOW":                      `z:2: example.net: "SLOW" is not TIMEOUT, SERVFAIL, NXDOMAIN or SECURE, nor a record type (A, AAAA, CNAME, MX, PTR, TLSA, TXT) with its data`,
		"example.net SOA x":                       `z:1: example.net: unknown record type "SOA"; use A, AAAA, CNAME, MX, PTR, TLSA, TXT`,
		"example.net TXT \"open":                  "z:1: a quote is not closed",
		"$INCLUDE /etc/passwd":                    `z:1: "$INCLUDE" is not a domain name`,
		"a.example NXDOMAIN\na.example A 1.2.3.4": "z:2: a.example cannot have records: it is NXDOMAIN",
		"a.example A 1.2.3.4\na.example NXDOMAIN": "z:2: a.example cannot be NXDOMAIN: it has records",
	} {
		if _, err := ParseZone("z", []byte(text)); err == nil || err.Error() != message {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, message)
		}
	}
	_, err := ParseZone("z", []byte("a.example A 1.2.3\nb.example A 1.2.3.4\nc.example MX ten mx\nd.example A SECURE\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 2 || !strings.Contains(err.Error(), "z:1: a.example: cannot read the data of A") ||
		!strings.Contains(err.Error(), "z:3: ") || !strings.Contains(err.Error(), "z:4: ") {
		t.Errorf("not every bad line is named: %v", err)
	}
}

// FuzzParseZone: a text is refused with a line number, or each name in it can be asked for everything.
func FuzzParseZone(f *testing.F) {
	f.Add(sample)
	for _, s := range []string{"a TXT \"", "a TXT \\", "a MX 0 .", "a 1 A 1.2.3.4", "a TXT \"\\", "a CNAME a", "1.2.3.4 PTR a;b", "a TLSA 3 1 1 0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		z, err := ParseZone("z", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "z:") {
				t.Fatalf("no line number: %v", err)
			}
			return
		}
		ctx := context.Background()
		for name := range z.names {
			_, errA := z.Addresses(ctx, name)
			mx, errMX := z.MX(ctx, name)
			_, errTXT := z.TXT(ctx, name)
			_, errTLSA := z.TLSA(ctx, name)
			for _, err := range []error{errA, errMX, errTXT, errTLSA} {
				if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
					t.Fatalf("%T", err)
				}
			}
			for i := 1; i < len(mx.Records); i++ {
				if mx.Records[i-1].Preference > mx.Records[i].Preference {
					t.Fatal("not sorted")
				}
			}
		}
	})
}
