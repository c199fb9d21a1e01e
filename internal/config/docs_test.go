package config

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/CONFIGURATION.md and the messages in testdata/bad; read the difference before you keep it")

const document = "../../docs/CONFIGURATION.md"

// table writes the keys of one section as the documentation shows them.
func table(section string) string {
	var b strings.Builder
	b.WriteString("| key | meaning | default | allowed | new value at |\n|---|---|---|---|---|\n")
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	for _, k := range Keys() {
		if k.Section() != section {
			continue
		}
		byDefault, when := k.Default, "restart"
		if strings.ContainsAny(byDefault, `"[0123456789`) || byDefault == "false" || byDefault == "true" {
			byDefault = "`" + byDefault + "`"
		}
		if k.Reload {
			when = "reload"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s: %s | %s |\n",
			strings.TrimPrefix(k.Name, section+"."), cell(k.Doc), cell(byDefault), k.Type, cell(k.Allowed), when)
	}
	return b.String()
}

// TestDocumentation holds the document against the table of keys: every key with its default and allowed values, in the
// place of its section, and none that does not exist.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile(`(?s)<!-- keys: ([a-z.]*) ?-->\n(.*?)<!-- end -->`)
	seen, known := make(map[string]bool), make(map[string]bool)
	fresh := marked.ReplaceAllStringFunc(string(text), func(part string) string {
		m := marked.FindStringSubmatch(part)
		if seen[m[1]] {
			t.Errorf("section %q has two tables", m[1])
		}
		seen[m[1]] = true
		want := table(m[1])
		if m[2] != want && !*update {
			t.Errorf("the table of [%s] is not that of the code; run the test with -update\ndocument:\n%s\ncode:\n%s", m[1], m[2], want)
		}
		return strings.Replace(part, m[2]+"<!-- end", want+"<!-- end", 1)
	})
	for _, k := range Keys() {
		if !seen[k.Section()] {
			t.Errorf("%s is not documented: there is no table of [%s]", k.Name, k.Section())
		}
		known[k.Section()] = true
	}
	for section := range seen {
		if !known[section] {
			t.Errorf("[%s] is documented and does not exist", section)
		}
	}
	if *update {
		if err := os.WriteFile(document, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDocumentedExample loads every example of the document.
func TestDocumentedExample(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) == 0 {
		t.Fatal("no example found")
	}
	for _, e := range examples {
		if _, err := Load(Source{Name: document, Directory: "/etc/onward", Content: []byte(e[1])}); err != nil {
			t.Error(err)
		}
	}
}
