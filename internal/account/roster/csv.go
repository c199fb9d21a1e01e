package roster

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// column is a column of a CSV file.
type column string

const (
	loginColumn      column = "login"
	passwordColumn   column = "password"
	hashColumn       column = "hash"
	identitiesColumn column = "identities"
	disabledColumn   column = "disabled"
	appOnlyColumn    column = "app_only"
	langColumn       column = "lang"
)

// columnNames is for errors.
const columnNames = "login, password, hash, identities, disabled, app_only and lang"

// columnOf reads a heading in any case; some have other usual names.
func columnOf(heading string) (column, bool) {
	name := strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(heading)))
	switch name {
	case "user", "username", "user_name", "email", "e_mail", "mail", "address":
		return loginColumn, true
	case "password_hash":
		return hashColumn, true
	case "language":
		return langColumn, true
	}
	c := column(name)
	return c, slices.Contains([]column{loginColumn, passwordColumn, hashColumn, identitiesColumn, disabledColumn, appOnlyColumn, langColumn}, c)
}

// parseHeading reads the first line: which columns there are, and what parts
// them.
func parseHeading(text string) (columns []column, comma rune, err error) {
	comma = ','
	for _, other := range ";\t" {
		if strings.ContainsRune(text, other) && !strings.ContainsRune(text, ',') {
			comma = other
		}
	}
	fields, err := split(text, comma)
	if err != nil {
		return nil, comma, err
	}
	unknown := 0
	for i, f := range fields {
		c, ok := columnOf(f)
		switch {
		case !ok && unknown == 0:
			unknown = i + 1
		case ok && slices.Contains(columns, c):
			return nil, comma, fmt.Errorf("two headings mean the column %s; take one of them away", c)
		}
		columns = append(columns, c)
	}
	// What is in the first line is not quoted: without a heading it is somebody's.
	if !slices.Contains(columns, loginColumn) {
		return nil, comma, fmt.Errorf("the first line does not name the columns; write a line of headings above the others, such as login,password; known are %s", columnNames)
	}
	if unknown > 0 {
		return nil, comma, fmt.Errorf("the heading of column %d is not known; rename or remove the column; known are %s", unknown, columnNames)
	}
	return columns, comma, nil
}

func (r *Reader) heading(text string) (err error) {
	r.columns, r.comma, err = parseHeading(text)
	return err
}

// split parts a line (rfc4180#2). A field in quotation marks cannot go on in the
// next line, so that one missing mark does not swallow the file.
func split(text string, comma rune) ([]string, error) {
	c := csv.NewReader(strings.NewReader(text))
	c.Comma = comma
	fields, err := c.Read()
	if err != nil {
		return nil, errors.New("its quotation marks do not match; a field with a mark in it is written \"like \"\"this\"\"\", and ends on its line")
	}
	return fields, nil
}

// record reads a line below the heading.
func (r *Reader) record(text string) (Entry, error) {
	fields, err := split(text, r.comma)
	if err != nil {
		return Entry{}, err
	}
	if len(fields) != len(r.columns) {
		return Entry{}, fmt.Errorf("it has %d fields and the heading has %d; a field with a %q in it needs quotation marks", len(fields), len(r.columns), r.comma)
	}
	var e Entry
	for i, c := range r.columns {
		if err := e.column(c, fields[i]); err != nil {
			return Entry{}, err
		}
	}
	switch {
	case e.Login == "":
		return Entry{}, errors.New("its login is empty")
	case e.Password != "" && e.Hash != "":
		return Entry{}, errors.New("it has a password and a hash; leave one of them empty")
	}
	return e, nil
}

// column reads one field. An empty one says nothing.
func (e *Entry) column(c column, text string) error {
	if c == passwordColumn {
		e.Password = text // spaces belong to it
		return nil
	}
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	var err error
	switch c {
	case loginColumn:
		e.Login = text
	case hashColumn:
		e.Hash = text
	case identitiesColumn:
		e.Identities = strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == ',' || c == ';' || c == '\t' })
	case disabledColumn:
		e.Disabled, err = yes(c, text)
	case appOnlyColumn:
		e.AppOnly, err = yes(c, text)
	case langColumn:
		e.Lang = &text
	}
	return err
}

func yes(c column, text string) (*bool, error) {
	switch strings.ToLower(text) {
	case "yes", "y", "true", "1", "on":
		return ptr(true), nil
	case "no", "n", "false", "0", "off":
		return ptr(false), nil
	}
	return nil, fmt.Errorf("its field %s is neither yes nor no", c)
}
