package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

// defaultZoneTTL is the time to live of records in a Zone that state none.
const defaultZoneTTL = time.Hour

// Zone is a Resolver that knows what a text says and nothing else: for tests and conversation scripts. It never waits
// and never changes. One line of the text is one fact; what follows a ';' or '#' outside quotes, and empty lines, are
// ignored:
//
//	example.net.     MX    10 mx.example.net.
//	mx.example.net.  A     127.0.0.1
//	mx.example.net.  300   AAAA ::1                ; an optional time to live, seconds (default 3600)
//	example.net.     TXT   "v=spf1 mx" " -all"     ; the strings of one record are joined
//	www.example.net. CNAME mx.example.net.
//	192.0.2.1        PTR   mx.example.net.         ; or 1.2.0.192.in-addr.arpa.
//	_25._tcp.mx.example.net. TLSA 3 1 1 0123abcd SECURE
//	nullmx.example.  MX    0 .
//	slow.example.    TIMEOUT                       ; every question about the name
//	broken.example.  SERVFAIL
//	half.example.    AAAA  TIMEOUT                 ; only questions of this type
//	gone.example.    NXDOMAIN                      ; as for any name that is not listed
//	signed.example.  SECURE                        ; exists, and all answers about it are Authentic
//
// SECURE at the end of a record marks that record; an answer is Authentic if every record it rests on is marked. A name
// above a listed one exists too, without records (rfc8020#2). Names may be written with or without the final dot.
type Zone struct {
	names   map[string]*zoneName
	methods // the Resolver methods, over ask
}

// zoneName is what a Zone knows of one name.
type zoneName struct {
	records []miekg.RR
	marked  map[miekg.RR]bool // records with SECURE of their own
	trouble map[uint16]Kind   // Timeout or ServerFailure by type; under miekg.TypeANY for every type
	gone    bool              // said to be NXDOMAIN
	secure  bool              // the name as a whole
}

var _ Resolver = (*Zone)(nil)

// ParseZone reads the form that Zone's comment shows. file is the name to put into errors. The error holds one line for
// each bad line of text, each with its number.
func ParseZone(file string, text []byte) (*Zone, error) {
	z := &Zone{names: make(map[string]*zoneName)}
	z.methods = methods{z.ask}
	var bad []error
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if err := z.line(line); err != nil {
			bad = append(bad, fmt.Errorf("%s:%d: %w", file, number, err))
		}
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return z, nil
}

// line takes in one line of the text.
func (z *Zone) line(line string) error {
	words, err := splitLine(line)
	if err != nil || len(words) == 0 {
		return err
	}
	name, err := ownerName(words[0])
	if err != nil {
		return err
	}
	words = words[1:]
	ttl := uint64(defaultZoneTTL / time.Second)
	if len(words) > 1 {
		if n, err := strconv.ParseUint(words[0], 10, 31); err == nil {
			ttl, words = n, words[1:]
		}
	}
	if len(words) == 0 {
		return fmt.Errorf("%s: a record type (%s) or TIMEOUT, SERVFAIL, NXDOMAIN or SECURE must follow the name", plain(name), zoneTypes)
	}
	at := z.enter(name)
	if len(words) == 1 {
		return at.whole(name, words[0])
	}
	return at.record(name, ttl, words)
}

// enter returns the entry for name, made if need be, with all names above it.
func (z *Zone) enter(name string) *zoneName {
	for up, rest := name, ""; up != "."; up = rest {
		if z.names[up] == nil {
			z.names[up] = &zoneName{marked: make(map[miekg.RR]bool), trouble: make(map[uint16]Kind)}
		}
		if _, rest, _ = strings.Cut(up, "."); rest == "" {
			break
		}
	}
	return z.names[name]
}

// whole takes in a fact about a name as a whole.
func (n *zoneName) whole(name, word string) error {
	switch strings.ToUpper(word) {
	case "NXDOMAIN":
		if len(n.records) > 0 {
			return fmt.Errorf("%s cannot be NXDOMAIN: it has records", plain(name))
		}
		n.gone = true
	case "SECURE":
		n.secure = true
	default:
		kind, ok := troubleWord(word)
		if !ok {
			return fmt.Errorf("%s: %q is not TIMEOUT, SERVFAIL, NXDOMAIN or SECURE, nor a record type (%s) with its data", plain(name), word, zoneTypes)
		}
		n.trouble[miekg.TypeANY] = kind
	}
	return nil
}

// record takes in one record, or the trouble with a type: words are the type, its data, and perhaps SECURE.
func (n *zoneName) record(name string, ttl uint64, words []string) error {
	rrtype, ok := zoneType(words[0])
	if !ok {
		return fmt.Errorf("%s: unknown record type %q; use %s", plain(name), words[0], zoneTypes)
	}
	if kind, ok := troubleWord(words[1]); ok && len(words) == 2 {
		n.trouble[rrtype] = kind
		return nil
	}
	if n.gone {
		return fmt.Errorf("%s cannot have records: it is NXDOMAIN", plain(name))
	}
	data, marked := words[1:], false
	if last := len(data) - 1; strings.EqualFold(data[last], "SECURE") {
		data, marked = data[:last], true
	}
	rr, err := miekg.NewRR(fmt.Sprintf("%s %d IN %s %s", name, ttl, words[0], strings.Join(data, " ")))
	if err == nil && (rr == nil || rr.Header().Rrtype != rrtype || len(data) == 0) {
		err = errors.New("no data")
	}
	if err != nil {
		return fmt.Errorf("%s: cannot read the data of %s: %w", plain(name), strings.ToUpper(words[0]), err)
	}
	n.records = append(n.records, rr)
	if marked {
		n.marked[rr] = true
	}
	return nil
}

// zoneTypes are the record types that a Zone can hold, for messages.
const zoneTypes = "A, AAAA, CNAME, MX, PTR, TLSA, TXT"

func zoneType(word string) (uint16, bool) {
	switch word = strings.ToUpper(word); word {
	case "A", "AAAA", "CNAME", "MX", "PTR", "TLSA", "TXT":
		return miekg.StringToType[word], true
	}
	return 0, false
}

func troubleWord(word string) (Kind, bool) {
	switch strings.ToUpper(word) {
	case "TIMEOUT":
		return Timeout, true
	case "SERVFAIL":
		return ServerFailure, true
	}
	return 0, false
}

// ownerName reads the first word of a line: a name, or an address that stands for its name in the reverse tree.
func ownerName(word string) (string, error) {
	if addr, err := netip.ParseAddr(word); err == nil {
		name, bad := reverseName(addr)
		if bad != nil {
			return "", bad
		}
		return name, nil
	}
	name := miekg.CanonicalName(word)
	if _, ok := miekg.IsDomainName(name); !ok || name == "." || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return "", fmt.Errorf("%q is not a domain name", word)
	}
	return name, nil
}

// splitLine splits a line at blanks, keeps quoted strings whole with their quotes, and drops a comment.
func splitLine(line string) ([]string, error) {
	var words []string
	rest := strings.TrimLeft(line, " \t\r\n")
	for rest != "" && rest[0] != ';' && rest[0] != '#' {
		end := 0
		for quoted := false; end < len(rest) && (quoted || strings.IndexByte(" \t\r\n;", rest[end]) < 0); end++ {
			switch rest[end] {
			case '"':
				quoted = !quoted
			case '\\':
				end++
			}
			if quoted && end+1 >= len(rest) {
				return nil, errors.New("a quote is not closed")
			}
		}
		end = min(end, len(rest))
		words = append(words, rest[:end])
		rest = strings.TrimLeft(rest[end:], " \t\r\n")
	}
	return words, nil
}

// ask answers one question.
func (z *Zone) ask(ctx context.Context, q question) (*result, time.Duration) {
	const server = "zone file"
	if err := ctx.Err(); err != nil {
		return &result{err: q.fail(Timeout, "", "", err)}, 0
	}
	r := &result{authentic: true}
	name, ttl := q.name, ^uint32(0)
	for hops := 0; ; {
		n := z.names[name]
		if n == nil || n.gone {
			return &result{err: q.fail(NotFound, server, "NXDOMAIN", nil)}, 0
		}
		for _, rrtype := range []uint16{miekg.TypeANY, q.rrtype} {
			if kind := n.trouble[rrtype]; kind != 0 {
				return &result{err: q.fail(kind, server, "", nil)}, 0
			}
		}
		s, err := follow(n.records, name, q.rrtype)
		if hops += s.hops; err != nil || hops > maxAliases {
			return &result{err: q.fail(ServerFailure, server, "", errAliases)}, 0
		}
		ttl = min(ttl, s.ttl)
		r.authentic = r.authentic && n.authentic(s)
		if len(s.records) > 0 || s.end == name {
			r.name = plain(s.end)
			r.decode(s.records)
			break
		}
		name = s.end
	}
	if ttl == ^uint32(0) {
		return r, defaultZoneTTL
	}
	return r, time.Duration(ttl) * time.Second
}

// authentic reports whether all that a step used of this name is marked.
func (n *zoneName) authentic(s step) bool {
	if n.secure {
		return true
	}
	if len(s.records) == 0 && s.hops == 0 {
		return false // nothing there, and nobody signed that
	}
	used := s.records
	if s.hops > 0 {
		used = nil
		for _, rr := range n.records {
			if rr.Header().Rrtype == miekg.TypeCNAME {
				used = append(used, rr)
			}
		}
	}
	for _, rr := range used {
		if !n.marked[rr] {
			return false
		}
	}
	return true
}
