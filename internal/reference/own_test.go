package reference

import (
	"slices"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/reply"
)

// stages gives each stage of package reply its row of the command matrix.
var stages = []struct {
	stage   reply.Stage
	command string
}{
	{reply.Connect, "CONNECT"},
	{reply.Helo, "EHLO"},
	{reply.StartTLS, "STARTTLS"},
	{reply.Auth, "AUTH"},
	{reply.Mail, "MAIL"},
	{reply.Rcpt, "RCPT"},
	{reply.Data, "DATA"},
	{reply.Content, "CONTENT"},
	{reply.Bdat, "BDAT"},
	{reply.Rset, "RSET"},
	{reply.Noop, "NOOP"},
	{reply.Quit, "QUIT"},
	{reply.Vrfy, "VRFY"},
	{reply.Expn, "EXPN"},
	{reply.Help, "HELP"},
	{reply.Unknown, "UNKNOWN"},
}

func TestOwnRepliesAreLegalWhereTheyAreGiven(t *testing.T) {
	var covered reply.Stage
	for _, s := range stages {
		covered |= s.stage
		for _, d := range reply.All() {
			if d.Stages&s.stage != 0 && !Legal(s.command, d.Code) {
				t.Errorf("reply %q: %d is not legal for %s (rfc5321#4.3.2)", d.Name, d.Code, s.command)
			}
		}
	}
	covered |= reply.XClient // in no RFC: its answer is that to a connection
	if covered != reply.Anywhere {
		t.Errorf("package reply has stages that no row of the matrix stands for: %b", reply.Anywhere&^covered)
	}
}

func TestOwnRepliesAgreeWithThemselves(t *testing.T) {
	names := make(map[string]bool)
	for _, d := range reply.All() {
		if names[d.Name] {
			t.Errorf("reply %q: the name is used twice", d.Name)
		}
		names[d.Name] = true
		if _, ok := BasicCode(d.Code); !ok {
			t.Errorf("reply %q: code %d is not in the reference", d.Name, d.Code)
		}
		if d.Enhanced != "" {
			class, _, _, ok := SplitEnhanced(d.Enhanced)
			if !ok || class != d.Code/100 {
				t.Errorf("reply %q: enhanced code %s does not fit code %d", d.Name, d.Enhanced, d.Code)
			}
			if _, ok := EnhancedCode(d.Enhanced); !ok {
				t.Errorf("reply %q: enhanced code %s is not registered", d.Name, d.Enhanced)
			}
		}
		for _, r := range d.Text {
			if r < ' ' || r > '~' {
				t.Errorf("reply %q: the text has %q, which is not printable ASCII", d.Name, r)
			}
		}
		// the longest arguments are cut by package reply; the fixed part must
		// leave them room
		if fixed := len("550-") + len(d.Enhanced) + 1 + len(d.Text) + 2; fixed > reply.MaxLine/2 {
			t.Errorf("reply %q: %d octets before its arguments, want at most half of %d", d.Name, fixed, reply.MaxLine)
		}
		if d.Stages == 0 || len(d.Cites) == 0 {
			t.Errorf("reply %q: no stages or no citation", d.Name)
		}
	}
}

func TestOwnRepliesAreExplainedInEveryLanguage(t *testing.T) {
	for _, l := range Languages() {
		for _, d := range reply.All() {
			for _, part := range []string{"meaning", "when", "fix"} {
				if s, ok := Sentence(l.Tag, "reply."+d.Name+"."+part); !ok || strings.TrimSpace(s) == "" {
					t.Errorf("reply %q lacks .%s in lang/%s.toml", d.Name, part, l.Tag)
				}
			}
			e, ok := OwnReply(l.Tag, d.Name)
			if !ok || e.Language != l.Tag || e.Who == "" || e.Retry == "" {
				t.Errorf("reply %q: OwnReply in %s gives %+v; is it in facts/own.json?", d.Name, l.Tag, e)
			}
			if d.Code/100 == 5 && e.Retry == RetryYes || d.Code < 400 && e.Retry != RetryNoNeed && e.Retry != RetryContinue {
				t.Errorf("reply %q: retry %q does not fit %d", d.Name, e.Retry, d.Code)
			}
		}
	}
}

// What the client heard of a refused login is one of our own replies, who must
// act upon it is known, and nobody tries again unchanged after a 5xx.
func TestLoginCausesAreReplies(t *testing.T) {
	for _, c := range LoginCauses() {
		said := slices.ContainsFunc(reply.All(), func(d reply.Definition) bool {
			return d.Code == c.Code && d.Enhanced == c.Enhanced && d.Stages&reply.Auth != 0
		})
		if !said {
			t.Errorf("login cause %q: no reply of ours to AUTH is %d %s", c.Cause, c.Code, c.Enhanced)
		}
		if (c.Code/100 == 4) != (c.Retry == RetryYes) {
			t.Errorf("login cause %q: retry %q does not fit %d", c.Cause, c.Retry, c.Code)
		}
		for _, key := range []string{"actor." + string(c.Who), "retry." + string(c.Retry)} {
			if s, ok := Sentence(Fallback, key); !ok || s == "" {
				t.Errorf("login cause %q: no sentence %s", c.Cause, key)
			}
		}
	}
	e, _ := Login("en", "app_password_revoked")
	if got := e.For("anna@example.org", "k3v9mpqr").Fix; !strings.Contains(got, "«onward account app-password add anna@example.org --name NAME»") {
		t.Errorf("the command for the owner is not there: %s", got)
	}
}

// Sentences of causes that no longer exist, or never did, are left over.
func TestNoSentenceWithoutCause(t *testing.T) {
	for _, key := range Keys(Fallback) {
		cause, ok := strings.CutPrefix(key, "login.")
		if !ok {
			continue
		}
		cause, _, _ = strings.Cut(cause, ".")
		if _, ok := Login(Fallback, cause); !ok {
			t.Errorf("lang/%s.toml has %s, and facts/reasons.json has no such cause", Fallback, key)
		}
	}
}

// Sentences of replies that no longer exist, or never did, are left over.
func TestNoSentenceWithoutReply(t *testing.T) {
	for _, l := range Languages() {
		for _, key := range Keys(l.Tag) {
			name, ok := strings.CutPrefix(key, "reply.")
			if !ok {
				continue
			}
			name = name[:strings.LastIndexByte(name, '.')]
			if _, ok := reply.ByName(name); !ok {
				t.Errorf("lang/%s.toml has %s, and package reply has no such entry", l.Tag, key)
			}
		}
	}
	for name := range own() {
		if _, ok := reply.ByName(name); !ok {
			t.Errorf("facts/own.json has %q, and package reply has no such entry", name)
		}
	}
}

func TestCausesAndOutcomesAreExplained(t *testing.T) {
	for _, l := range Languages() {
		for _, c := range LoginCauses() {
			e, ok := Login(l.Tag, c.Cause)
			if !ok || e.Meaning == "" || e.Fix == "" || e.Language != l.Tag {
				t.Errorf("login cause %q is not explained in %s: %+v", c.Cause, l.Tag, e)
			}
			if f := e.For("", ""); strings.ContainsAny(f.Meaning+f.Fix, "{}") {
				t.Errorf("login cause %q in %s has a placeholder that nothing fills: %+v", c.Cause, l.Tag, f)
			}
		}
		for _, o := range Outcomes() {
			e, ok := Trouble(l.Tag, o.Key)
			if !ok || e.Meaning == "" || e.Fix == "" || e.Language != l.Tag {
				t.Errorf("outcome %q is not explained in %s: %+v", o.Key, l.Tag, e)
			}
		}
		for _, r := range Reasons() {
			name, used := Text(l.Tag, "reason."+r.Key+".name")
			if name == "" || used != l.Tag {
				t.Errorf("reason %q has no name in %s", r.Key, l.Tag)
			}
		}
	}
	if _, ok := Login("en", "no-such-cause"); ok {
		t.Error("an unknown login cause was explained")
	}
	if _, ok := Trouble("en", "no-such-outcome"); ok {
		t.Error("an unknown outcome was explained")
	}
	if _, ok := OwnReply("en", "no-such-reply"); ok {
		t.Error("an unknown reply was explained")
	}
}
