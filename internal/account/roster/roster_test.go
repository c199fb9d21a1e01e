package roster

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// all reads a file to its end: entries as JSON and errors as «line 17: why», one
// a line, the format first.
func all(file io.Reader, f Format) string {
	var b strings.Builder
	r := NewReader(file, f)
	for {
		e, err := r.Next()
		var bad *LineError
		switch {
		case errors.Is(err, io.EOF):
			return string(r.Format()) + "\n" + b.String()
		case errors.As(err, &bad):
			b.WriteString(err.Error() + "\n")
		case err != nil:
			return string(r.Format()) + "\n" + b.String() + "end: " + err.Error() + "\n"
		default:
			line, _ := json.Marshal(e)
			b.Write(append(line, '\n'))
		}
	}
}

func TestReader(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   Format
		file string
		want string
	}{
		{"empty", Auto, "", "auto\n"},
		{"comments only", Auto, "# nothing\n\n  \n", "auto\n"},
		{
			"passwd-file", Auto, "# users\nanna@example.org:{SSHA}abc:1000:1000:Anna::/bin/false:userdb_mail=maildir:/x nologin allow_nets=10.0.0.0/8 quota=a:b:c\n" +
				"bea:$6$s$h\ncarl:::::::\ndora::\r\n:{SSHA}x\nnothing\nemil:x:1:1\nfritz:{PLAIN}a b::::::nologin=no\ngerd:h::::::nopassword",
			"passwd-file\n" +
				`{"line":2,"login":"anna@example.org","hash":"{SSHA}abc","disabled":true,"ignored":["allow_nets","quota"]}` + "\n" +
				`{"line":3,"login":"bea","hash":"$6$s$h"}` + "\n" +
				`{"line":4,"login":"carl"}` + "\n" +
				`{"line":5,"login":"dora"}` + "\n" +
				"line 6: there is no name before the first ':'\n" +
				"line 7: it has no ':'; a line is name:password, and what follows another ':' is optional\n" +
				"line 8: its password is in another file, such as /etc/shadow; import that file\n" +
				`{"line":9,"login":"fritz","hash":"{PLAIN}a b"}` + "\n" +
				"line 10: its setting nopassword lets everybody in; give the account a password, or take the setting away\n",
		},
		{"shadow", Auto, "anna:!$6$s$h:19000:0:99999:7::19500:\nbea:*:1\ncarl:!!:1\ndora:!:1\nemil:!x:1", "passwd-file\n" +
			`{"line":1,"login":"anna","hash":"$6$s$h","disabled":true}` + "\n" +
			`{"line":2,"login":"bea","disabled":true}` + "\n" +
			`{"line":3,"login":"carl","disabled":true}` + "\n" +
			`{"line":4,"login":"dora","disabled":true}` + "\n" +
			`{"line":5,"login":"emil","hash":"!x"}` + "\n"},
		{"htpasswd", Auto, "anna:$apr1$s$h\nbea:{SHA}x=\ncarl:realm:0123456789abcdef0123456789abcdef\n", "htpasswd\n" +
			`{"line":1,"login":"anna","hash":"$apr1$s$h"}` + "\n" +
			`{"line":2,"login":"bea","hash":"{SHA}x="}` + "\n" +
			"line 3: it is of htdigest: its hash is made for HTTP digest and checks no password elsewhere; make the file with htpasswd -B\n"},
		{"two fields with a scheme", Auto, "anna:{BLF-CRYPT}$2y$x", "passwd-file\n" + `{"line":1,"login":"anna","hash":"{BLF-CRYPT}$2y$x"}` + "\n"},
		{
			"csv", Auto, "\ufeffE-Mail, Password ,hash,identities,disabled,app only,language\r\n" +
				"anna@example.org, geh\"eim ,,\"a@example.org, @example.net\",yes,No,de\r\n" +
				"\n\"bea\",\"a,\"\"b\",,,,,\ncarl,,{SHA}x,x;y z,0,1,\ndora,p,h,,,,\nemil,,,,perhaps,,\nfritz,p\n,p,,,,,\n\"gerd,,,,,,\n",
			"csv\n" +
				"line 2: its quotation marks do not match; a field with a mark in it is written \"like \"\"this\"\"\", and ends on its line\n" +
				`{"line":4,"login":"bea","password":"a,\"b"}` + "\n" +
				`{"line":5,"login":"carl","hash":"{SHA}x","identities":["x","y","z"],"disabled":false,"app_only":true}` + "\n" +
				"line 6: it has a password and a hash; leave one of them empty\n" +
				"line 7: its field disabled is neither yes nor no\n" +
				"line 8: it has 2 fields and the heading has 7; a field with a ',' in it needs quotation marks\n" +
				"line 9: its login is empty\n" +
				"line 10: its quotation marks do not match; a field with a mark in it is written \"like \"\"this\"\"\", and ends on its line\n",
		},
		{"csv with semicolons", Auto, "password;login\n a,b ;anna\n", "csv\n" + `{"line":2,"login":"anna","password":" a,b "}` + "\n"},
		{"csv with tabs", Auto, "login\tlang\nanna\tde\n", "csv\n" + `{"line":2,"login":"anna","lang":"de"}` + "\n"},
		{"logins only", Auto, "login\nanna\n", "csv\n" + `{"line":2,"login":"anna"}` + "\n"},
		{"no heading", CSV, "anna,Geheimnis\n", "csv\nend: line 1: the first line does not name the columns; write a line of headings above the others, such as login,password; known are " + columnNames + "\n"},
		{"unknown heading", CSV, "login,Geheimnis\n", "csv\nend: line 1: the heading of column 2 is not known; rename or remove the column; known are " + columnNames + "\n"},
		{"two headings", Auto, "#\nuser,email\n", "auto\nend: line 2 tells no format: it has neither a ':' nor the headings of a CSV file, such as login,password; name the format with --format\n"},
		{"two headings of csv", CSV, "#\nuser,email\n", "csv\nend: line 2: two headings mean the column login; take one of them away\n"},
		{"no format", Auto, "Geheimnis\n", "auto\nend: line 1 tells no format: it has neither a ':' nor the headings of a CSV file, such as login,password; name the format with --format\n"},
		{"too long", PasswdFile, "anna:" + strings.Repeat("x", 3*MaxLine) + "\nbea:y\n" + strings.Repeat("z", MaxLine+1), "passwd-file\n" +
			"line 1: it is longer than 16384 octets; look whether the file has line ends\n" +
			`{"line":2,"login":"bea","hash":"y"}` + "\n" +
			"line 3: it is longer than 16384 octets; look whether the file has line ends\n"},
		{"latin1", PasswdFile, "anna:{PLAIN}\xe4\nbea:y", "passwd-file\nline 1: it is not UTF-8; convert the file first, such as with: iconv -f latin1 -t utf-8\n" +
			`{"line":2,"login":"bea","hash":"y"}` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, file := range map[string]io.Reader{
				"whole": strings.NewReader(tt.file), "by octets": iotest.OneByteReader(strings.NewReader(tt.file)), "data with EOF": iotest.DataErrReader(strings.NewReader(tt.file)),
			} {
				if got := all(file, tt.in); got != tt.want {
					t.Errorf("%s:\n%s\nwant:\n%s", name, got, tt.want)
				}
			}
		})
	}
}

// A file that cannot be read on ends with its error, not as if it were over.
func TestReaderBroken(t *testing.T) {
	broken := errors.New("the disk is gone")
	r := NewReader(io.MultiReader(strings.NewReader("anna:y\nbea"), iotest.ErrReader(broken)), PasswdFile)
	if e, err := r.Next(); err != nil || e.Login != "anna" {
		t.Fatalf("%+v, %v", e, err)
	}
	if e, err := r.Next(); !errors.Is(err, broken) {
		t.Fatalf("%+v, %v", e, err)
	}
}

// FuzzReader: every line gives an entry or an error with its number, in order,
// and no error says what the file does.
func FuzzReader(f *testing.F) {
	f.Add("anna:{SSHA}abc:1:1:::/x:nologin\n", "auto")
	f.Add("login,password\nanna,\"a\"\"b\"\n", "csv")
	f.Add("a:b\n:\n!\n", "htpasswd")
	f.Fuzz(func(t *testing.T, file, format string) {
		r := NewReader(strings.NewReader(file), Format(format))
		last := 0
		for {
			e, err := r.Next()
			line := e.Line
			if bad := (*LineError)(nil); errors.As(err, &bad) {
				line = bad.Line
			} else if err != nil {
				break
			} else if e.Login == "" || e.Password != "" && e.Hash != "" {
				t.Fatalf("an entry is %+v", e)
			}
			if line <= last || line != r.Line() {
				t.Fatalf("line %d after %d, of %d", line, last, r.Line())
			}
			last = line
		}
		if r.Octets() > int64(len(file)) {
			t.Fatalf("%d octets of %d", r.Octets(), len(file))
		}
	})
}
