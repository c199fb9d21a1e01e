package reference

import (
	"slices"

	"github.com/onwardmail/onward/internal/reply"
)

// Explanation explains one thing that Onward itself says or decides, in one
// language.
type Explanation struct {
	// Name is the stable name: of the reply, the outcome or the login cause.
	Name string
	// Code is the reply code, 0 where there is none; Enhanced may be "".
	Code     int
	Enhanced string
	// Meaning says what it means, When on what occasion one sees it (replies
	// only), Fix what to do.
	Meaning, When, Fix string
	Who                Actor
	Retry              Retry
	// Language is that of the sentences; it differs from what was asked for
	// only where a translation is missing.
	Language string
}

// OwnReply explains one of our own replies by its name (reply.Reply.Name).
func OwnReply(lang, name string) (Explanation, bool) {
	d, ok := reply.ByName(name)
	if !ok {
		return Explanation{}, false
	}
	fact := own()[name]
	e := Explanation{Name: name, Code: d.Code, Enhanced: d.Enhanced, Who: fact.Who, Retry: fact.Retry}
	e.Meaning, e.Language = Text(lang, "reply."+name+".meaning")
	e.When, _ = Text(lang, "reply."+name+".when")
	e.Fix, _ = Text(lang, "reply."+name+".fix")
	return e, e.Meaning != ""
}

// Trouble explains the outcome of a delivery for which no remote reply exists,
// by its key; see [Outcomes].
func Trouble(lang, key string) (Explanation, bool) {
	o, ok := OutcomeOf(key)
	if !ok {
		return Explanation{}, false
	}
	e := Explanation{Name: key, Enhanced: o.Enhanced, Who: o.Who, Retry: o.Retry}
	e.Meaning, e.Language = Text(lang, "outcome."+key+".meaning")
	e.Fix, _ = Text(lang, "outcome."+key+".fix")
	return e, true
}

// Login explains to the owner of an account why a login was refused, by the
// true cause; see [LoginCauses]. Nobody else may read it. Its sentences name
// commands with placeholders; see [Explanation.For].
func Login(lang, cause string) (Explanation, bool) {
	i := slices.IndexFunc(LoginCauses(), func(c LoginCause) bool { return c.Cause == cause })
	if i < 0 {
		return Explanation{}, false
	}
	c := LoginCauses()[i]
	e := Explanation{Name: cause, Code: c.Code, Enhanced: c.Enhanced, Who: c.Who, Retry: c.Retry}
	e.Meaning, e.Language = Text(lang, "login."+cause+".meaning")
	e.Fix, _ = Text(lang, "login."+cause+".fix")
	return e, true
}

// For puts the login, and the id or name of the app password, into the commands
// of a [Login]. What is not known stays a word to replace: LOGIN, NAME.
func (e Explanation) For(login, appPassword string) Explanation {
	if login == "" {
		login = "LOGIN"
	}
	if appPassword == "" {
		appPassword = "NAME"
	}
	e.Meaning = Fill(e.Meaning, "login", login, "app-password", appPassword)
	e.Fix = Fill(e.Fix, "login", login, "app-password", appPassword)
	return e
}
