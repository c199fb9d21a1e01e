package internal

import (
	"strings"
	"testing"
)

// TestLayersSeen gives the checker small modules, each broken in one way, and small sound ones: a check that lets a breach
// pass, or that cries at nothing, fails here.
func TestLayersSeen(t *testing.T) {
	ours := `"` + module + `/internal/`
	tests := []struct {
		name  string
		files []source
		want  string // a part of the one breach due; "" where none is
	}{
		{"earlier layer", one("internal/smtp", `import _ `+ours+`address"`), ""},
		{"later layer", one("internal/address", `import _ `+ours+`smtp"`), "address imports smtp, which is of the later layer 2 grammar"},
		{"listed before", one("internal/explain", `import _ `+ours+`dsn"`), ""},
		{"listed after", one("internal/queue", `import _ `+ours+`transaction"`), "queue imports transaction, which is listed after it"},
		{"deeper package", one("internal/mailauth/spf", `import _ `+ours+`mailauth/dkim"`), ""},
		{"deeper package, later layer", one("internal/mailauth/spf", `import _ `+ours+`queue"`), "mailauth imports queue, which is of the later layer"},
		{"neighbouring engines", one("internal/intake", `import _ `+ours+`smtpd"`), "never import each other"},
		{"neighbouring engines, the other way", one("internal/smtpd", `import _ `+ours+`deliver"`), "never import each other"},
		{"engine and config", one("internal/deliver", `import _ `+ours+`config"`), "deliver never imports config"},
		{"adapter and config", one("internal/store", `import _ `+ours+`config"`), ""},
		{"web and store", one("internal/web", `import _ `+ours+`store"`), "web never imports store"},
		{"web and smtpd", one("internal/web", `import _ `+ours+`smtpd"`), "web never imports smtpd"},
		{"web and control", one("internal/web", `import _ `+ours+`control"`), ""},
		{"queue and smtpd", one("internal/queue", `import _ `+ours+`smtpd"`), "later layer 5 engines"},
		{"assembly", one("internal/onward", `import _ `+ours+`store"`), ""},
		{"assembly imported", one("internal/control", `import _ `+ours+`onward"`), "later layer 7 assembly"},
		{"assembly imported by the demo", one("internal/demo", `import _ `+ours+`onward"`), ""},
		{"demo imported by the assembly", one("internal/onward", `import _ `+ours+`demo"`), "listed after it in layer 7"},
		{"assembly imported by the binary", one("cmd/onward", `import _ `+ours+`onward"`), ""},
		{"binary imported", one("internal/onward", `import _ "`+module+`/cmd/onward"`), "which nothing outside its folder may import"},
		{"test tools imported", one("cmd/onward", `import _ "`+module+`/test/postfix"`), "which nothing outside its folder may import"},
		{"unknown package", one("internal/util", ``), "package internal/util is in no layer"},
		{"unknown import", one("internal/smtp", `import _ `+ours+`helpers"`), "which is in no layer"},
		{"package elsewhere", one("pkg/client", ``), "neither under internal/ nor under cmd/"},
		{"smtptest in the product", one("internal/smtpd", `import _ `+ours+`smtptest"`), "which is for tests only"},
		{"smtptest in the binary", one("cmd/onward", `import _ `+ours+`smtptest"`), "which is for tests only"},
		{"smtptest in a test", test("internal/smtpd", `import _ `+ours+`smtptest"`), ""},
		{"smtptest itself", one("internal/smtptest", `import _ `+ours+`store"`), ""},
		{"smtptest and the assembly", one("internal/smtptest", `import _ `+ours+`onward"`), "sees all and is seen by none"},
		{"peers look from outside", test("test/peers", `import _ `+ours+`address"`), "sees the program from outside"},
		{"peers share what they need", test("test/peers", `import _ "`+module+`/test/postfix"`), ""},
		{"dot import", one("internal/smtp", `import . "strings"`), "with a dot"},
		{"driver in store", one("internal/store", `import _ "github.com/ncruces/go-sqlite3/driver"`), ""},
		{"driver elsewhere", one("internal/queue", `import _ "github.com/ncruces/go-sqlite3"`), "which only store may"},
		{"sql elsewhere", one("cmd/onward", `import _ "database/sql"`), "which only store may"},
		{"resolver library elsewhere", one("internal/deliver", `import _ "github.com/miekg/dns"`), "which only dns may"},
		{"os in layer 1", one("internal/address", `import _ "os"`), "address is of layer 1 words and imports os"},
		{"os/exec in layer 3", one("internal/dsn", `import _ "os/exec"`), "dsn is of layer 3 rules and imports os/exec"},
		{"slog in layer 3", one("internal/explain", `import _ "log/slog"`), "imports log/slog"},
		{"slog in layer 4", one("internal/queue", `import _ "log/slog"`), ""},
		{"clock in layer 1", one("internal/reply", "import \"time\"\nfunc f() time.Time { return time.Now() }"), "reply is of layer 1 words and uses time.Now"},
		{"clock under another name", one("internal/dsn", "import clock \"time\"\nvar f = clock.Now"), "uses time.Now"},
		{"clock in layer 2", one("internal/dns", "import \"time\"\nvar f = time.Now"), ""},
		{"durations in layer 1", one("internal/reply", "import \"time\"\nconst d = time.Second"), ""},
		{"a variable called time", one("internal/reply", "func f(time struct{ Now int }) int { return time.Now }"), ""},
		{"types of net", one("internal/mailauth", "import \"net\"\nfunc f(s string) net.IP { return net.ParseIP(s) }"), ""},
		{"dial in layer 3", one("internal/mailauth", "import \"net\"\nfunc f() { _, _ = net.Dial(\"tcp\", \"\") }"), "uses net.Dial"},
		{"resolver in layer 3", one("internal/mailauth", "import \"net\"\nvar r = net.DefaultResolver"), "uses net.DefaultResolver"},
		{"goroutine in layer 1", one("internal/reference", "func f() { go f() }"), "starts a goroutine"},
		{"terminal in layer 1", one("internal/reference", "import \"fmt\"\nfunc f() { fmt.Println() }"), "uses fmt.Println"},
		{"init", one("internal/store", "func init() {}"), "has an init function"},
		{"a method called init", one("internal/store", "type t int\nfunc (t) init() {}"), ""},
		{"constant table", one("internal/smtp", "var table = [2]int{1, 2}\nfunc f() int { return table[0] }"), ""},
		{"blank variable", one("internal/smtp", "var _ error = nil\nfunc f() { _ = 1 }"), ""},
		{"changed variable", one("internal/smtp", "var n int\nfunc f() { n++ }"), "changes its package variable n"},
		{"changed part of a variable", one("internal/smtp", "var m = map[string]int{}\nfunc f() { m[\"\"] = 1 }"), "changes its package variable m"},
		{"shadowed variable", one("internal/smtp", "var n int\nfunc f(n int) { n = 2; _ = n }"), ""},
		{
			"variable changed from another file",
			append(one("internal/smtp", "var n int"), source{"internal/smtp/b.go", "package p\nfunc f() { n = 1 }"}),
			"internal/smtp/b.go:2:12: internal/smtp changes its package variable n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := check(tt.files)
			switch {
			case err != nil:
				t.Fatal(err)
			case tt.want == "" && len(got) > 0:
				t.Errorf("breaches where none is:\n%s", strings.Join(got, "\n"))
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("got %q\nwant one breach with %q", got, tt.want)
			}
		})
	}
	if _, err := check([]source{{"internal/smtp/a.go", "package"}}); err == nil {
		t.Error("a file that does not parse passes")
	}
}

// TestLayersTable checks the table itself: no package stands in it twice, and every rule names packages that stand in it.
func TestLayersTable(t *testing.T) {
	seen := map[string]string{}
	for _, l := range layers() {
		for _, name := range l.packages {
			if seen[name] != "" {
				t.Errorf("%s is in layers %s and %s", name, seen[name], l.name)
			}
			seen[name] = l.name
		}
	}
	for name, refused := range never() {
		for _, n := range append(refused, name) {
			if seen[n] == "" {
				t.Errorf("a rule names %s, which is in no layer", n)
			}
		}
	}
	for owned, owner := range owners() {
		if seen[owner] == "" {
			t.Errorf("%s is owned by %s, which is in no layer", owned, owner)
		}
	}
}

func one(folder, body string) []source {
	return []source{{folder + "/a.go", "package p\n" + body + "\n"}}
}

func test(folder, body string) []source {
	return []source{{folder + "/a_test.go", "package p\n" + body + "\n"}}
}
