package backend

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/onwardmail/onward/internal/account"
)

// Dovecot is a Dovecot that is asked over its authentication socket, as a client
// (doc/auth-protocol.txt of Dovecot).
type Dovecot struct {
	// Address is the path of the socket, or "host:port". TCP beyond this machine is
	// by TLS, which takes a proxy in front of Dovecot.
	Address string
	// TLSName is what the certificate must be for, if not the host of Address.
	TLSName string
	// Service is what Dovecot is told that the login is for.
	Service string
}

// NewDovecot returns a backend. It does not connect. The error is a Mistake.
func NewDovecot(opt Options, d Dovecot) (*Backend, error) {
	link := &dovecotLink{address: d.Address, dial: opt.dialer(), timeout: opt.Timeout, connecting: make(chan struct{}, 1)}
	if !strings.HasPrefix(d.Address, "/") {
		host, err := hostOf(d.Address)
		if err != nil {
			return nil, &Mistake{"address", err}
		}
		if !loopback(host) {
			if link.tls, err = clientTLS(opt.CAFile, d.TLSName); err != nil {
				return nil, err
			}
			if d.TLSName == "" {
				link.tls.ServerName = host
			}
		}
	}
	return newBackend(opt, &dovecot{service: d.Service, link: link}), nil
}

// dovecot is the source: all logins share one connection.
type dovecot struct {
	service string
	link    *dovecotLink
}

func (d *dovecot) close() { d.link.close() }

// maxDovecotLine is the longest line that Dovecot takes, in octets.
const maxDovecotLine = 8192

func (d *dovecot) password(ctx context.Context, login, password string, client account.Client) (account.Verdict, error) {
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + login + "\x00" + password)) // rfc4616#2
	// Dovecot would make a network wait that guesses, so long that it seemed to be
	// down; guessing is our own affair.
	args := []string{"PLAIN", "service=" + d.service, "no-penalty"}
	if client.Remote.IsValid() {
		args = append(args, "rip="+client.Remote.Unmap().WithZone("").String())
	}
	if client.TLS != "" || !client.Remote.IsValid() || client.Remote.Unmap().IsLoopback() {
		args = append(args, "secured") // Dovecot takes loopback for that, too
	}
	// It must be the last one.
	args = append(args, "resp="+plain)
	if len(strings.Join(args, "\t")) > maxDovecotLine-len("AUTH\t4294967295\t\n") {
		return account.Verdict{Cause: account.WrongPassword, Detail: "login and password are longer than Dovecot takes; it was not asked"}, nil
	}
	answer, err := d.link.ask(ctx, args)
	if err != nil {
		return account.Verdict{}, err
	}
	return dovecotVerdict(answer)
}

// dovecotVerdict reads OK, FAIL and CONT.
func dovecotVerdict(a dovecotAnswer) (account.Verdict, error) {
	said := a.args["reason"]
	if said == "" {
		said = a.args["code"]
	}
	if said != "" {
		said = ": " + said
	}
	switch {
	case a.verb == "OK" && a.has("nologin") && !a.has("proxy") && !a.has("host"):
		return account.Verdict{Cause: account.AccountDisabled, Proved: true, Detail: "Dovecot says that the user may not log in" + said}, nil
	case a.verb == "OK":
		v := account.Verdict{OK: true}
		if user := a.args["user"]; strings.Contains(user, "@") {
			v.Login = user
		}
		return v, nil
	case a.verb != "FAIL":
		return account.Verdict{}, cannotTell("Dovecot answered %s to a login that had said all", printable(a.verb))
	case a.has("temp") || a.args["code"] == "temp_fail":
		return account.Verdict{}, cannotTell("Dovecot has a temporary failure%s", printable(said))
	// Of these it says that the password may or may not have been right.
	case a.has("user_disabled") || a.args["code"] == "user_disabled":
		return account.Verdict{Cause: account.AccountDisabled, Detail: "Dovecot says that the user is disabled" + said}, nil
	case a.has("pass_expired") || a.args["code"] == "pass_expired":
		return account.Verdict{Cause: account.AccountDisabled, Detail: "Dovecot says that the password has expired" + said}, nil
	case a.has("authz") || a.args["code"] == "authz_fail":
		return account.Verdict{Cause: account.AccountDisabled, Detail: "Dovecot says that the user is not allowed to log in" + said}, nil
	}
	return account.Verdict{Cause: account.BackendRejected, Detail: "Dovecot refuses it" + said}, nil
}

// dovecotAnswer is a line about one login.
type dovecotAnswer struct {
	verb, id string
	args     map[string]string // without "=" they are ""
}

func (a dovecotAnswer) has(name string) bool {
	_, ok := a.args[name]
	return ok
}

// parseDovecot reads a line. Tabs are between the arguments, and what would break
// a line stands behind \001.
func parseDovecot(line string) (dovecotAnswer, error) {
	verb, rest, _ := strings.Cut(line, "\t")
	id, rest, _ := strings.Cut(rest, "\t")
	a := dovecotAnswer{verb: verb, id: id, args: make(map[string]string)}
	if verb == "" {
		return a, errors.New("an empty line")
	}
	unescape := strings.NewReplacer("\x010", "\x00", "\x011", "\x01", "\x01t", "\t", "\x01r", "\r", "\x01n", "\n")
	for arg := range strings.SplitSeq(rest, "\t") {
		name, value, _ := strings.Cut(arg, "=")
		if name != "" {
			a.args[name] = unescape.Replace(value)
		}
	}
	return a, nil
}

// hostOf is the host of "host:port".
func hostOf(address string) (string, error) {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return ap.Addr().String(), nil
	}
	host, port, ok := strings.Cut(address, ":")
	if !ok || host == "" || port == "" || strings.Contains(port, ":") {
		return "", fmt.Errorf("%q is neither a path nor a host with a port", address)
	}
	return host, nil
}
