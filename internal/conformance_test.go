package internal

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/CONFORMANCE.md")

// paragraph is one section of an RFC.
type paragraph struct {
	title, verdict string
	files          map[string]int // citations
}

// rfc is one document.
type rfc struct {
	title, verdict string
	sections       map[string]*paragraph
}

type library map[int]*rfc

func (l library) rfc(n int) *rfc {
	if l[n] == nil {
		l[n] = &rfc{sections: map[string]*paragraph{}}
	}
	return l[n]
}

func (r *rfc) section(s string) *paragraph {
	if r.sections[s] == nil {
		r.sections[s] = &paragraph{files: map[string]int{}}
	}
	return r.sections[s]
}

var citation = regexp.MustCompile(`rfc([1-9][0-9]{2,4})#([0-9A-Z]+(?:\.[0-9]+)*)`)

// cite collects the citations of the program: files that are no tests.
func (l library) cite(t *testing.T) {
	for _, root := range []string{".", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "smtptest/") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name := filepath.Join("internal", path)
			for _, m := range citation.FindAllSubmatch(text, -1) {
				n, err := strconv.Atoi(string(m[1]))
				if err != nil {
					return err
				}
				l.rfc(n).section(string(m[2])).files[name]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// judge reads conformance.txt.
func (l library) judge(t *testing.T) {
	text, err := os.ReadFile("conformance.txt")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^rfc([0-9]+)(?:#(\S+))? (= |partly: |decided against: )?(.+)$`)
	for i, s := range strings.Split(string(text), "\n") {
		if s == "" || s[0] == '#' {
			continue
		}
		m := line.FindStringSubmatch(s)
		if m == nil {
			t.Fatalf("conformance.txt:%d: %q is none of the forms at the head of the file", i+1, s)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		r := l.rfc(n)
		verdict := strings.TrimSuffix(m[3], ": ") + "\x00" + m[4]
		switch {
		case m[2] == "" && m[3] == "":
			r.title = m[4]
		case m[2] == "":
			r.verdict = verdict
		case m[3] == "= ":
			if len(r.section(m[2]).files) == 0 && !strings.Contains(string(text), "#"+m[2]+" decided against") && !strings.Contains(string(text), "#"+m[2]+" partly") {
				t.Errorf("conformance.txt:%d: nothing in the code cites rfc%d#%s", i+1, n, m[2])
			}
			r.section(m[2]).title = m[4]
		default:
			r.section(m[2]).verdict = verdict
		}
	}
}

// bySection orders 4.5.3.1.10 after 4.5.3.1.9, and letters last.
func bySection(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, errM := strconv.Atoi(x[i])
		n, errN := strconv.Atoi(y[i])
		switch {
		case errM == nil && errN != nil:
			return -1
		case errM != nil && errN == nil:
			return 1
		case m != n:
			return m - n
		case x[i] != y[i]:
			return strings.Compare(x[i], y[i])
		}
	}
	return len(x) - len(y)
}

// page writes docs/CONFORMANCE.md.
func (l library) page() []byte {
	var b bytes.Buffer
	b.WriteString("# Conformance\n\nMade from the citations in the code (`// rfc5321#4.1.1.4` at the line that implements the paragraph) and the verdicts in\n" +
		"`internal/conformance.txt` by `go test ./internal -update`; a test holds this page against both. «yes» means: implemented, where the\nlast column says.\n")
	var with, without []int
	for _, n := range slices.Sorted(maps.Keys(l)) {
		if l[n].title != "" {
			with = append(with, n)
		} else {
			without = append(without, n)
		}
	}
	for _, n := range with {
		r := l[n]
		fmt.Fprintf(&b, "\n## RFC %d: %s\n\n", n, r.title)
		if verdict, why, ok := strings.Cut(r.verdict, "\x00"); ok {
			fmt.Fprintf(&b, "As a whole %s: %s.\n\n", verdict, why)
		}
		b.WriteString("| § | | | where |\n|---|---|---|---|\n")
		for _, s := range slices.SortedFunc(maps.Keys(r.sections), bySection) {
			p := r.sections[s]
			verdict, why := "yes", ""
			if v, w, ok := strings.Cut(p.verdict, "\x00"); ok {
				verdict, why = "**"+v+"**", ": "+w
			}
			fmt.Fprintf(&b, "| %s | %s | %s%s | %s |\n", s, p.title, verdict, why, places(p.files))
		}
	}
	b.WriteString("\n## Others that are cited\n\n| RFC | § | where |\n|---|---|---|\n")
	for _, n := range without {
		for _, s := range slices.SortedFunc(maps.Keys(l[n].sections), bySection) {
			fmt.Fprintf(&b, "| %d | %s | %s |\n", n, s, places(l[n].sections[s].files))
		}
	}
	return b.Bytes()
}

func places(files map[string]int) string {
	names := slices.Sorted(maps.Keys(files))
	for i, n := range names {
		names[i] = "`" + strings.TrimPrefix(n, "internal/") + "`"
	}
	return strings.Join(names, " ")
}

// TestConformance holds docs/CONFORMANCE.md against the code.
func TestConformance(t *testing.T) {
	l := library{}
	l.cite(t)
	l.judge(t)
	const file = "../docs/CONFORMANCE.md"
	want := l.page()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the citations say; run go test ./internal -update", file)
	}
}
