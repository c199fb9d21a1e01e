package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/reference"
)

type accountLimitsCmd struct {
	Login string `arg:"" help:"The login."`
	limitFlags
}

// limitFlags are sending limits, and whose they are.
type limitFlags struct {
	AppPassword string `placeholder:"WHICH" help:"Of one of its app passwords, by id or name, instead of the account as a whole. They hold besides those of the account."`
	limitNumbers
}

// limitNumbers are sending limits as they are typed.
type limitNumbers struct {
	MessagesHour     string `placeholder:"N" help:"Messages an hour: a number, none, or default."`
	MessagesDay      string `placeholder:"N" help:"Messages a day."`
	RecipientsHour   string `placeholder:"N" help:"Recipients an hour; a message to three people counts three."`
	RecipientsDay    string `placeholder:"N" help:"Recipients a day."`
	NewRecipientsDay string `placeholder:"N" help:"Recipients a day that the account never wrote to before."`
}

func (*accountLimitsCmd) Examples() []string {
	return []string{
		"onward account limits anna@example.org",
		"onward account limits app@example.org --messages-hour 5000 --messages-day none",
		"onward account limits anna@example.org --app-password scanner --messages-day 50",
		"onward account limits anna@example.org --messages-hour default",
	}
}

func (c *accountLimitsCmd) Run(p *program) error {
	set, err := c.numbers()
	if err != nil {
		return err
	}
	info, err := ask(p, control.AccountLimits, control.LimitsRequest{Login: c.Login, AppPassword: c.AppPassword, Set: set})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(info)
		return nil
	}
	t := newTable("LIMIT", "IN FORCE", "FROM")
	for _, name := range account.LimitNames() {
		from := "this " + map[bool]string{true: "account", false: "app password"}[info.AppPassword == ""]
		switch own := *info.Own.Field(name); {
		case own != 0:
		case info.AppPassword == "":
			from = "login.limits." + string(name)
		default:
			from = "the account's holds"
		}
		t.add(plain(limitWords(name)), plain(limitText(*info.InForce.Field(name))), plain(from))
	}
	p.out.table(t, "")
	return nil
}

// numbers are those that were given.
func (c *limitNumbers) numbers() (map[account.LimitName]int, error) {
	set := make(map[account.LimitName]int)
	for name, text := range map[account.LimitName]string{
		account.MessagesHour: c.MessagesHour, account.MessagesDay: c.MessagesDay, account.RecipientsHour: c.RecipientsHour,
		account.RecipientsDay: c.RecipientsDay, account.NewRecipientsDay: c.NewRecipientsDay,
	} {
		if text == "" {
			continue
		}
		n, err := limitNumber(name, text)
		if err != nil {
			return nil, err
		}
		set[name] = n
	}
	return set, nil
}

// limitNumber reads a limit: a number, none, or default.
func limitNumber(name account.LimitName, text string) (int, error) {
	switch text {
	case "none":
		return -1, nil
	case "default":
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		option := strings.ReplaceAll(string(name), "_", "-")
		return 0, &control.Error{Kind: control.Invalid, Message: fmt.Sprintf("--%s is %q; it must be a number from 1 on, none, or default", option, text)}
	}
	return n, nil
}

func limitText(n int) string {
	if n < 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// limitWords is "messages an hour" for messages_hour.
func limitWords(name account.LimitName) string {
	words := strings.NewReplacer("_hour", " an hour", "_day", " a day").Replace(string(name))
	return strings.ReplaceAll(words, "_", " ")
}

type accountUsageCmd struct {
	Login string `arg:"" help:"The login."`
}

func (*accountUsageCmd) Examples() []string {
	return []string{"onward account usage anna@example.org", "onward account usage anna@example.org --json"}
}

func (c *accountUsageCmd) Run(p *program) error {
	list, err := ask(p, control.AccountUsage, control.AccountName{Login: c.Login})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.objects(list)
		return nil
	}
	now := time.Now()
	t := newTable("WHO", "MSGS/HOUR", "MSGS/DAY", "RCPTS/HOUR", "RCPTS/DAY", "NEW/DAY", "STATE")
	networks := newTable("WHO", "NETWORK", "FIRST USED", "LAST USED")
	alarms := &fields{}
	for _, u := range list {
		row := []cell{plain(usageName(u))}
		for _, name := range account.LimitNames() {
			row = append(row, usageCell(*u.Sent.Field(name), *u.Limits.Field(name)))
		}
		state := cell{}
		switch {
		case u.Strict && u.Status == "":
			state = cell{"strict", inkAmber}
		case u.Status == "suspended" || u.Status == "revoked":
			state = cell{u.Status, inkRed}
		case u.Status != "":
			state = cell{u.Status, inkGreen}
		}
		t.add(append(row, state)...)
		for _, n := range u.Networks {
			networks.add(plain(usageName(u)), plain(n.Prefix.String()), plain(moment(n.First, false)), plain(span(n.Last, now)))
		}
		p.addAlarm(alarms, u)
	}
	p.out.table(t, "")
	if len(networks.rows) > 0 {
		p.out.say("")
		p.out.table(networks, "")
	}
	if len(alarms.names) > 0 {
		p.out.say("")
		p.out.fields(alarms)
	}
	return nil
}

// usageName names a secret, or all of them together.
func usageName(u control.CredentialUsage) string {
	switch {
	case u.Credential == "":
		return "account"
	case u.Name != "":
		return u.Name
	}
	return u.Credential
}

// usageCell is how much of a limit is used up: green, amber from four fifths on,
// red.
func usageCell(sent, limit int) cell {
	if limit < 0 {
		return plain(strconv.Itoa(sent))
	}
	c := plain(strconv.Itoa(sent) + "/" + strconv.Itoa(limit))
	switch {
	case sent >= limit:
		c.colour = inkRed
	case 5*sent >= 4*limit:
		c.colour = inkAmber
	}
	return c
}

// addAlarm says what has stopped or bound a secret, and how to end that.
func (p *program) addAlarm(f *fields, u control.CredentialUsage) {
	switch {
	case u.Status == "suspended" && u.SuspendedWhy != "":
		f.add("suspended", cell{usageName(u), inkRed})
		f.add("why", plain(p.alarmWords(u.SuspendedWhy)))
	case u.Strict && u.Status == "" && u.Alarm != nil:
		f.add("strict limits", cell{usageName(u) + ", until " + moment(u.Alarm.At.Add(account.StrictFor), false), inkAmber})
		f.add("why", plain(p.alarmWords(u.Alarm.String())))
	default:
		return
	}
	f.add("if all is well", plain(p.command("app-password resume", u.Login)+" "+u.Credential))
}

// alarmWords says an alarm in the language of explanations; what is none of ours
// stays as it is.
func (p *program) alarmWords(text string) string {
	a, err := account.ParseAlarm(text, time.Time{})
	sentence, _ := reference.Text(reference.Match(p.language()), "alarm."+string(a.Kind)+".what")
	if err != nil || sentence == "" {
		return text
	}
	words := strings.NewReplacer("{count}", strconv.Itoa(a.Count), "{usual}", strconv.Itoa(a.Usual)).Replace(sentence)
	if a.From.IsValid() {
		words += " (" + a.From.String() + ")"
	}
	return words
}

type appPasswordResumeCmd struct {
	Login string `arg:"" help:"The login."`
	Which string `arg:"" help:"Its id or its name; main for the main password, which has strict limits for a day after an alarm."`
}

func (*appPasswordResumeCmd) Examples() []string {
	return []string{
		"onward account app-password resume anna@example.org phone",
		"onward account app-password resume anna@example.org main",
	}
}

func (c *appPasswordResumeCmd) Run(p *program) error {
	r, err := ask(p, control.ResumeAppPassword, control.ResumeRequest{Login: c.Login, Which: c.Which})
	if err != nil {
		return err
	}
	switch {
	case p.JSON:
		p.out.object(r)
	case r.Credential == control.MainPassword:
		p.out.say("The usual limits hold for the main password of %s again.", r.Login)
	default:
		p.out.say("%s (%s) of %s can be used again.", r.Name, r.Credential, r.Login)
	}
	return nil
}
