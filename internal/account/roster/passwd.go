package roster

import (
	"errors"
	"slices"
	"strings"
)

// colons reads a line of a passwd-file or an htpasswd file. Of the fields of a
// passwd-file uid, gid, gecos, home and shell have no meaning here.
func colons(text string) (Entry, error) {
	const (
		most  = 8
		extra = 7
	)
	fields := strings.SplitN(text, ":", most)
	if len(fields) < 2 {
		return Entry{}, errors.New("it has no ':'; a line is name:password, and what follows another ':' is optional")
	}
	var e Entry
	if e.Login = strings.TrimSpace(fields[0]); e.Login == "" {
		return Entry{}, errors.New("there is no name before the first ':'")
	}
	if isHtdigest(fields) {
		return Entry{}, errors.New("it is of htdigest: its hash is made for HTTP digest and checks no password elsewhere; make the file with htpasswd -B")
	}
	if err := e.field(fields[1]); err != nil {
		return Entry{}, err
	}
	if len(fields) > extra {
		if err := e.extras(fields[extra]); err != nil {
			return Entry{}, err
		}
	}
	return e, nil
}

// isHtdigest recognizes user:realm:MD5.
func isHtdigest(fields []string) bool {
	const md5Hex = 32
	return len(fields) == 3 && len(fields[2]) == md5Hex && strings.Trim(fields[2], "0123456789abcdef") == ""
}

// field reads the password field, with the marks that shadow(5) has for accounts
// that are locked.
func (e *Entry) field(text string) error {
	hash := strings.TrimLeft(text, "!")
	switch {
	case text == "x":
		return errors.New("its password is in another file, such as /etc/shadow; import that file")
	case hash == "" && text != "", hash == "*":
		e.Disabled = ptr(true)
	case hash != text && strings.HasPrefix(hash, "$"):
		e.Disabled, e.Hash = ptr(true), hash
	default:
		e.Hash = text
	}
	return nil
}

// extras reads the settings at the end of a line of a passwd-file: those of the
// user database (userdb_…) concern mailboxes, and are left out without a word.
func (e *Entry) extras(text string) error {
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case strings.HasPrefix(name, "userdb_"):
		case name == "nologin":
			if value != "n" && value != "no" {
				e.Disabled = ptr(true)
			}
		case name == "nopassword":
			return errors.New("its setting nopassword lets everybody in; give the account a password, or take the setting away")
		case isName(name) && !slices.Contains(e.Ignored, name):
			e.Ignored = append(e.Ignored, name)
		}
	}
	return nil
}

// isName reports whether a word is the name of a setting, so that it can be said.
func isName(word string) bool {
	const longest = 32
	return word != "" && len(word) <= longest && word[0] >= 'a' && word[0] <= 'z' && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func ptr[T any](v T) *T { return &v }
