package sasl

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	xdg "github.com/xdg-go/scram"
	"pgregory.net/rapid"
)

// The productions of RFC 5802, section 7, once more, as expressions; those of
// our own limits are not in them. A reserved-mext has no place in the first, and
// in neither may "m" be an extension.
const (
	reName      = `(?:[^\x00=,]|=2C|=3D)+`
	reExtension = `(?:,[A-Za-ln-z]=[^\x00,]+)*`
	reBase64    = `(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?`
)

type grammar struct{ first, final *regexp.Regexp }

func newGrammar() grammar {
	return grammar{
		regexp.MustCompile(`^(n|y|p=([A-Za-z0-9.-]+)),(?:a=(` + reName + `))?,n=(` + reName + `),r=([\x21-\x2b\x2d-\x7e]+)` + reExtension + `$`),
		regexp.MustCompile(`^c=(` + reBase64 + `),r=([\x21-\x2b\x2d-\x7e]+)` + reExtension + `,p=(` + reBase64 + `)$`),
	}
}

func strictBase64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil
}

// formed says whether our server has to take the two messages for messages.
func (g grammar) formed(plus bool, first, final string) bool {
	f, l := g.first.FindStringSubmatch(first), g.final.FindStringSubmatch(final)
	if f == nil || l == nil || !utf8.ValidString(first) || !utf8.ValidString(final) || len(first) > maxClientFirst || len(final) > maxClientFinal {
		return false
	}
	known := f[2] == TLSExporter || f[2] == TLSServerEndPoint
	_, bindingOK := strictBase64(l[1])
	proof, proofOK := strictBase64(l[3])
	name := strings.NewReplacer("=2C", ",", "=3D", "=")
	return plus == (f[1] != "n" && f[1] != "y") && plus == known && bindingOK && proofOK && len(proof) == 32 &&
		len(name.Replace(f[3])) <= MaxSecret && len(name.Replace(f[4])) <= MaxSecret && len(f[5]) <= maxNonce
}

// judge is a comparison of two servers with the grammar over the same messages.
type judge struct {
	grammar grammar
	keys    Keys
}

func newJudge(t testing.TB) judge { return judge{newGrammar(), accountWith(t, SHA256, "pencil").keys} }

// sign replaces what comes after the last ",p=" by the right proof, or adds it.
func (j judge) sign(clientKey []byte, first, final string) string {
	_, rest, _ := strings.Cut(first, ",")
	_, bare, _ := strings.Cut(rest, ",")
	without := final
	if i := strings.LastIndex(final, ",p="); i >= 0 {
		without = final[:i]
	}
	signature := SHA256.hmac(SHA256.sum(clientKey), []byte(bare+","+j.serverFirst(first)+","+without))
	for i := range signature {
		signature[i] ^= clientKey[i]
	}
	return without + ",p=" + base64.StdEncoding.EncodeToString(signature)
}

func (j judge) serverFirst(first string) string {
	_, nonceAndOn, _ := strings.Cut(first, ",r=")
	given, _, _ := strings.Cut(nonceAndOn, ",")
	return "r=" + given + nonce() + ",s=" + base64.StdEncoding.EncodeToString(j.keys.Salt) + ",i=4096"
}

// compare runs both servers, and fails unless ours is Malformed where the
// grammar says so and nowhere else, and accepts of the rest what the other does.
func (j judge) compare(t interface{ Fatalf(string, ...any) }, plus, offered bool, first, final string) {
	name := "SCRAM-SHA-256"
	if plus {
		name += "-PLUS"
	}
	o, _ := Find(name)
	channel := tlsChannel(plus || offered)
	w := world{channel: channel, keys: j.keys, ok: func(c Credentials) bool { return c.Key >= 0 }}
	said := w.talk(o.New(channel), []byte(first), final, "")
	formed := j.grammar.formed(plus, first, final)
	if formed == strings.HasSuffix(said, "Malformed") {
		t.Fatalf("formed is %v, and of\n%q\n%q\nours said %q", formed, first, final, said)
	}
	accepted, other := strings.HasSuffix(said, "Accept"), j.other(plus, offered, first, final)
	if formed && accepted != other || !formed && accepted {
		t.Fatalf("the other server says %v, and of\n%q\n%q\nours said %q", other, first, final, said)
	}
}

// other reports whether xdg-go's server accepts.
func (j judge) other(plus, offered bool, first, final string) bool {
	server, err := xdg.SHA256.NewServer(func(string) (xdg.StoredCredentials, error) {
		return xdg.StoredCredentials{
			KeyFactors: xdg.KeyFactors{Salt: string(j.keys.Salt), Iters: j.keys.Iterations},
			StoredKey:  j.keys.Candidates[0].Stored, ServerKey: j.keys.Candidates[0].Server,
		}, nil
	})
	if err != nil {
		panic(err)
	}
	server = server.WithNonceGenerator(nonce)
	conversation := server.NewConversation()
	if plus || offered {
		// It knows one binding at a time, so it is given the one that is asked for.
		flag, _, _ := strings.Cut(first, ",")
		kind := strings.TrimPrefix(flag, "p=")
		if kind != TLSServerEndPoint {
			kind = TLSExporter
		}
		binding := xdg.ChannelBinding{Type: xdg.ChannelBindingType(kind), Data: []byte("binding of " + kind)}
		conversation = server.NewConversationWithChannelBinding(binding)
	}
	if _, err := conversation.Step(first); err != nil {
		return false
	}
	_, err = conversation.Step(final)
	return err == nil && conversation.Valid()
}

func (j judge) clientKey(t testing.TB, password string) []byte {
	t.Helper()
	key, err := saltedClient(SHA256, password, j.keys.Salt, j.keys.Iterations)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestScramServers compares over messages made of right and wrong pieces, whose
// proof is mostly right.
func TestScramServers(t *testing.T) {
	j := newJudge(t)
	right, wrong := j.clientKey(t, "pencil"), j.clientKey(t, "pen")
	one := func(t *rapid.T, label, usual string, others ...string) string {
		if rapid.IntRange(0, 9).Draw(t, label+"?") < 7 {
			return usual
		}
		return rapid.SampledFrom(others).Draw(t, label)
	}
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		plus := rapid.Bool().Draw(t, "plus")
		offered := rapid.IntRange(0, 4).Draw(t, "offered") == 0
		usual := "n"
		if plus {
			usual = rapid.SampledFrom([]string{"p=tls-exporter", "p=tls-server-end-point"}).Draw(t, "kind")
		}
		flag := one(t, "flag", usual, "n", "y", "p=tls-exporter", "p=tls-unique", "p=", "p", "", "F", "p=a b")
		authzid := one(t, "authzid", "", "a=bob", "a=b=2Cc", "a=b=3Dc", "a=", "b=x", "a=x=", "a=x=2c", "a=\xff", "a=\u00fc", "a=\x00")
		mext := one(t, "mext", "", "m=1,", ",")
		name := one(t, "name", "n=anna", "n=", "n", "x=anna", "n=an=2Cna", "n=an=na", "n=j\u00fcrgen", "n=\xff", "n=a\x00", "N=anna")
		given := one(t, "nonce", "r=client", "r=", "r=cli ent", "r=cl\u00fcent", "s=client", "r=cli=ent", "r=\x7f")
		extension := one(t, "extension", "", ",x=y", ",x=y=,Y=\u00fc", ",x=", ",x", ",", ",m=1", ",xy=z", ",1=2", ",n=bob", ",x=\xff", ",r=1")
		header := flag + "," + authzid + ","
		first := header + mext + name + "," + given + extension

		kind := strings.TrimPrefix(flag, "p=")
		bound := header
		if kind != flag {
			bound += "binding of " + kind
		}
		c := one(t, "c", base64.StdEncoding.EncodeToString([]byte(bound)), "biws", "eSws", "", "bi", "biw=", "bi\nws", "!!!!", base64.StdEncoding.EncodeToString([]byte(header)))
		r, _, _ := strings.Cut(j.serverFirst(first), ",")
		r = one(t, "r", r, "r=client", "r="+nonce(), "r=", r+"x", "s=x", "")
		final := "c=" + c + "," + r + one(t, "extension2", "", ",x=y", ",m=1", ",", ",x=", ",p=x", ",xx=y")
		key := right
		if rapid.IntRange(0, 9).Draw(t, "wrong") == 0 {
			key = wrong
		}
		final = j.sign(key, first, final)
		switch rapid.IntRange(0, 19).Draw(t, "proof") {
		case 0:
			final = final[:len(final)-4] + "AAA="
		case 1:
			final = final[:len(final)-4]
		case 2:
			final += ",x=y"
		case 3:
			final = strings.Replace(final, ",p=", ",P=", 1)
		}
		j.compare(t, plus, offered, first, final)
		switch {
		case !j.grammar.formed(plus, first, final):
			seen["malformed"]++
		case j.other(plus, offered, first, final):
			seen["accepted"]++
		default:
			seen["rejected"]++
		}
	})
	for _, outcome := range []string{"malformed", "accepted", "rejected"} {
		if seen[outcome] == 0 {
			t.Errorf("nothing was %s", outcome)
		}
	}
}

// TestScramMalformed holds one message for each rule.
func TestScramMalformed(t *testing.T) {
	channel := tlsChannel(true)
	for _, first := range []string{
		"", "n", "n,", "n,,", "n,,n=anna", "n,,n=anna,", "n,,n=,r=client", "n,,r=client,n=anna", "n,,n=anna,r=",
		"N,,n=anna,r=client", "x,,n=anna,r=client", "p=,,n=anna,r=client", "p=tls-exporter,,n=anna,r=client",
		"n,bob,n=anna,r=client", "n,a=,n=anna,r=client", "n,a=b=2,n=anna,r=client", "n,,n=an=na,r=client",
		"n,,n=an=2cna,r=client", "n,,n=an=,r=client", "n,,n=anna,r=cli ent", "n,,n=anna,r=cli\x7fent", "n,,n=anna,r=cli\u00fcent",
		"n,,m=1,n=anna,r=client", "n,,n=anna,r=client,m=1", "n,,n=anna,r=client,", "n,,n=anna,r=client,x", "n,,n=anna,r=client,x=",
		"n,,n=anna,r=client,xy=z", "n,,n=anna,r=client,1=2", "n,,n=anna,r=client,x=\x00", "n,,n=anna,r=client,x=\xff",
	} {
		if turn := mechanism(t, "SCRAM-SHA-256", channel).Start([]byte(first)); turn.Do != Malformed {
			t.Errorf("%q: %v", first, turn)
		}
	}
	proof := base64.StdEncoding.EncodeToString(make([]byte, 32))
	r := ",r=client" + nonce()
	final := func(s string) Turn {
		m := mechanism(t, "SCRAM-SHA-256", channel)
		m.Start([]byte("n,,n=anna,r=client"))
		m.Found(accountWith(t, SHA256, "pencil").keys)
		return m.Next([]byte(s))
	}
	for _, s := range []string{
		"", ",", "p=" + proof, ",p=" + proof, "c=biws,p=" + proof, "c=biws" + r, r[1:] + ",c=biws,p=" + proof, "c=biws,r=,p=" + proof,
		"c=biw" + r + ",p=" + proof, "c=!!!!" + r + ",p=" + proof, "c=bixhPXh=" + r + ",p=" + proof, "c=biws\n\n\n\n" + r + ",p=" + proof,
		"c=biws,r=cli ent,p=" + proof, "c=biws" + r + ",p=", "c=biws" + r + ",p=" + proof[4:], "c=biws" + r + ",p=" + proof + ",x=y",
		"c=biws" + r + ",m=1,p=" + proof, "c=biws" + r + ",,p=" + proof, "c=biws" + r + ",x=,p=" + proof, "c=biws" + r + ",x=\x00,p=" + proof,
		"c=biws" + r + ",x=\xff,p=" + proof, "C=biws" + r + ",p=" + proof, "c=biws" + r + ",P=" + proof,
	} {
		if turn := final(s); turn.Do != Malformed {
			t.Errorf("%q: %v", s, turn)
		}
	}
	for _, s := range []string{"c=biws" + r + ",p=" + proof, "c=biws" + r + ",x=y=,Z=\u00fc,p=" + proof, "c=" + r + ",p=" + proof} {
		if turn := final(s); turn.Do != Check {
			t.Errorf("%q: %v", s, turn)
		}
	}
}

// TestScramLimits: at each limit, and one beyond.
func TestScramLimits(t *testing.T) {
	first := func(authzid, name, nonce, extension int) []byte {
		return []byte("n,a=" + strings.Repeat("a", authzid) + ",n=" + strings.Repeat("n", name) + ",r=" + strings.Repeat("r", nonce) + ",x=" + strings.Repeat("x", extension))
	}
	rest := len("n,a=,n=,r=,x=") + 3
	tests := []struct {
		name  string
		first []byte
		want  Do
	}{
		{"least", first(1, 1, 1, 1), LookUp},
		{"authzid", first(MaxSecret, 1, 1, 1), LookUp},
		{"authzid and one", first(MaxSecret+1, 1, 1, 1), Malformed},
		{"name", first(1, MaxSecret, 1, 1), LookUp},
		{"name and one", first(1, MaxSecret+1, 1, 1), Malformed},
		{"name of commas", []byte("n,,n=" + strings.Repeat("=2C", MaxSecret) + ",r=r"), LookUp},
		{"nonce", first(1, 1, maxNonce, 1), LookUp},
		{"nonce and one", first(1, 1, maxNonce+1, 1), Malformed},
		{"message", first(1, 1, 1, maxClientFirst-rest), LookUp},
		{"message and one", first(1, 1, 1, maxClientFirst-rest+1), Malformed},
	}
	for _, tt := range tests {
		if got := mechanism(t, "SCRAM-SHA-256", tlsChannel(false)).Start(tt.first); got.Do != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	proof := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for over, want := range []Do{Check, Malformed} {
		m := mechanism(t, "SCRAM-SHA-256", tlsChannel(false))
		m.Start(first(1, 1, 1, 1))
		m.Found(Keys{})
		final := "c=biws,r=r,x=,p=" + proof
		final = strings.Replace(final, "x=", "x="+strings.Repeat("x", maxClientFinal-len(final)+over), 1)
		if got := m.Next([]byte(final)); got.Do != want {
			t.Errorf("%d beyond: %v", over, got)
		}
	}
}

// TestScramWithoutNonce: what could be played again is refused, and nobody who
// has no keys at all gets in.
func TestScramWithoutNonce(t *testing.T) {
	for _, c := range []Channel{{}, {Nonce: func() string { return "" }}, {Nonce: func() string { return "a,b" }}} {
		m := mechanism(t, "SCRAM-SHA-256", c)
		m.Start([]byte("n,,n=anna,r=client"))
		if turn := m.Found(accountWith(t, SHA256, "pencil").keys); turn.Do != Reject {
			t.Errorf("%v", turn)
		}
	}
	w := world{channel: tlsChannel(false), ok: always}
	m := mechanism(t, "SCRAM-SHA-256", w.channel)
	proof := base64.StdEncoding.EncodeToString(make([]byte, 32))
	if said := w.talk(m, []byte("n,,n=anna,r=client"), "c=biws,r=client"+nonce()+",p="+proof); !strings.HasSuffix(said, "Check Reject") {
		t.Errorf("without keys: %s", said)
	}
}

// TestScramOtherHash: the proof of the one function is no proof of the other.
func TestScramOtherHash(t *testing.T) {
	m := mechanism(t, "SCRAM-SHA-1", tlsChannel(false))
	m.Start([]byte("n,,n=anna,r=client"))
	m.Found(accountWith(t, SHA1, "pencil").keys)
	proof := base64.StdEncoding.EncodeToString(make([]byte, 32))
	if turn := m.Next([]byte("c=biws,r=client" + nonce() + ",p=" + proof)); turn.Do != Malformed {
		t.Errorf("%v", turn)
	}
}

func FuzzSaslname(f *testing.F) {
	for _, s := range []string{"anna", "a=2Cb", "a=3Db", "a=2cb", "=", "", "a,b", "a\x00"} {
		f.Add(s)
	}
	encode := strings.NewReplacer("=", "=3D", ",", "=2C")
	f.Fuzz(func(t *testing.T, s string) {
		if name, ok := saslname(s); ok && encode.Replace(name) != s {
			t.Errorf("%q is decoded to %q", s, name)
		}
		want := s != "" && len(s) <= MaxSecret && !strings.Contains(s, "\x00")
		if name, ok := saslname(encode.Replace(s)); ok != want || ok && name != s {
			t.Errorf("%q comes back as %q, %v", s, name, ok)
		}
	})
}
