// Package internal holds the test of the architecture: which package may import which, and what some of them may never do.
//
// The table below is the one of docs/ARCHITECTURE.md as data. The test parses the files itself, because the cache of go test
// sees a file that the test opens and does not see what a command reads. What it promises: every Go file of the module that
// is not a test is looked at, whatever its build tags. What it does not: it knows names, not types, so a clock or a socket
// that comes in through a function value passes, as it should.
package internal

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/onwardmail/onward"

// A layer is one row of the architecture. A package imports packages of earlier layers and, within its own layer, those
// listed before it.
type layer struct {
	name     string
	packages []string // the first element of the path below internal/; what lies deeper belongs to it
	strange  bool     // its packages never import each other, whatever their order
	pure     bool     // no sockets, no os, no clock, no logging
	silent   bool     // no goroutine is started
}

// layers is the table of the architecture.
func layers() []layer {
	return []layer{
		{name: "1 words", packages: []string{"address", "reply", "reference"}, pure: true, silent: true},
		{name: "2 grammar", packages: []string{"smtp", "message", "sasl", "dns"}},
		{name: "3 rules", packages: []string{"mailauth", "dsn", "explain", "notice"}, pure: true},
		{name: "4 state", packages: []string{"recipient", "account", "config", "queue", "transaction"}},
		{name: "5 engines", packages: []string{"smtpd", "intake", "deliver"}, strange: true},
		{name: "6 adapters", packages: []string{"store", "milter", "backend", "control", "web", "site"}},
		{name: "7 assembly", packages: []string{"onward", "demo"}},
	}
}

// never lists imports that the order of the layers would allow and the architecture does not.
func never() map[string][]string {
	return map[string][]string{
		"smtpd":   {"config"},
		"intake":  {"config"},
		"deliver": {"config"},
		"web":     {"smtpd", "deliver", "store"},
	}
}

// owners lists outside packages that belong to one of ours: no other may import them, nor anything below them.
func owners() map[string]string {
	return map[string]string{
		"database/sql":                  "store",
		"github.com/ncruces/go-sqlite3": "store",
		"github.com/jackc/pgx":          "store",
		"github.com/miekg/dns":          "dns",
		"github.com/d--j/go-milter":     "milter",
		"github.com/go-ldap/ldap":       "backend",
		"github.com/coreos/go-oidc":     "backend",
		"github.com/go-jose/go-jose":    "backend",
	}
}

// impure lists the imports that the pure layers do without.
func impure() []string {
	return []string{
		"os", "io/ioutil", "syscall", "golang.org/x/sys", "log", "net/http", "net/smtp", "net/rpc", "net/textproto",
		"crypto/tls", "runtime/debug",
	}
}

// pureNames lists, for packages that do both, the names that the pure layers may use (true) or may not (false). A name
// that is absent is refused where the list is of permissions, and allowed where it is of refusals.
func pureNames() map[string]map[string]bool {
	return map[string]map[string]bool{
		"net": {
			"Addr": true, "AddrError": true, "CIDRMask": true, "DNSError": true, "Error": true, "IP": true, "IPAddr": true, "IPMask": true,
			"IPNet": true, "IPv4": true, "IPv4Mask": true, "IPv4len": true, "IPv6len": true, "JoinHostPort": true, "MX": true,
			"NS": true, "ParseCIDR": true, "ParseError": true, "ParseIP": true, "SplitHostPort": true, "TCPAddr": true,
		},
		"time": {
			"After": false, "AfterFunc": false, "NewTicker": false, "NewTimer": false, "Now": false, "Since": false,
			"Sleep": false, "Tick": false, "Until": false,
		},
		"fmt": {"Print": false, "Printf": false, "Println": false, "Scan": false, "Scanf": false, "Scanln": false},
	}
}

// A source is one Go file: its path in the module, with slashes, and its text.
type source struct {
	path string
	text string
}

// TestLayers holds the module's files against the architecture.
func TestLayers(t *testing.T) {
	files, err := sources("..")
	if err != nil {
		t.Fatalf("read the module's files: %v", err)
	}
	if len(files) == 0 {
		t.Fatal("no Go file found: the test looks in the wrong folder")
	}
	breaches, err := check(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches {
		t.Error(b)
	}
}

// sources reads every Go file below root but those that the go command ignores.
func sources(root string) ([]source, error) {
	var files []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		hidden := strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".")
		if entry.IsDir() {
			if name != root && (hidden || base == "testdata" || base == "node_modules" || base == "vendor") {
				return filepath.SkipDir
			}
			return nil
		}
		if hidden || !strings.HasSuffix(base, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files = append(files, source{path: filepath.ToSlash(rel), text: string(text)})
		return nil
	})
	return files, err
}

// A checker collects the breaches of one set of files.
type checker struct {
	fset     *token.FileSet
	breaches []string
	vars     map[string]map[string]bool // folder → names of its package variables
}

// check returns a sentence for each breach, in the order of the files; an error means that a file does not parse.
func check(files []source) ([]string, error) {
	c := &checker{fset: token.NewFileSet(), vars: map[string]map[string]bool{}}
	type parsed struct {
		source
		syntax *ast.File
	}
	var all []parsed
	for _, f := range files {
		syntax, err := parser.ParseFile(c.fset, f.path, f.text, 0)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", f.path, err)
		}
		all = append(all, parsed{f, syntax})
		if !strings.HasSuffix(f.path, "_test.go") {
			c.collect(path.Dir(f.path), syntax)
		}
	}
	for _, f := range all {
		c.file(f.path, f.syntax)
	}
	return c.breaches, nil
}

func (c *checker) say(at token.Pos, format string, args ...any) {
	c.breaches = append(c.breaches, c.fset.Position(at).String()+": "+fmt.Sprintf(format, args...))
}

// file holds one file against every rule. Tests may import what they like, but those under test/, which see the program
// from outside.
func (c *checker) file(name string, f *ast.File) {
	folder := path.Dir(name)
	test := strings.HasSuffix(name, "_test.go")
	switch {
	case within(folder, "test"):
		for _, spec := range f.Imports {
			if target := imported(spec); within(target, module) && !within(target, module+"/test") {
				c.say(spec.Pos(), "%s imports %s, but what lies under test/ sees the program from outside", folder, target)
			}
		}
	case test:
	case within(folder, "tools"):
	case within(folder, "cmd"):
		c.imports(f, place{name: "cmd", layer: len(layers())})
		c.everywhere(folder, f)
	case within(folder, "internal/smtptest"):
		c.imports(f, place{name: "smtptest", layer: len(layers()) - 1})
		c.everywhere(folder, f)
	case within(folder, "internal"):
		p, ok := locate(unit(strings.TrimPrefix(folder, "internal/")))
		if !ok {
			c.say(f.Package, "package %s is in no layer; put it into the table of internal/layers_test.go and of docs/ARCHITECTURE.md", folder)
			return
		}
		c.imports(f, p)
		c.everywhere(folder, f)
		if layers()[p.layer].pure {
			c.pure(f, p)
		}
	default:
		c.say(f.Package, "package %s is neither under internal/ nor under cmd/ nor under test/", folder)
	}
}

// A place is where a package stands: which row of the table, and which column.
type place struct {
	name   string
	layer  int
	column int
}

func locate(name string) (place, bool) {
	for row, l := range layers() {
		if column := slices.Index(l.packages, name); column >= 0 {
			return place{name, row, column}, true
		}
	}
	return place{}, false
}

// imports holds one file's imports against the order of the layers, the list of what is never imported, and the owners.
func (c *checker) imports(f *ast.File, p place) {
	for _, spec := range f.Imports {
		target := imported(spec)
		if spec.Name != nil && spec.Name.Name == "." {
			c.say(spec.Pos(), "%s imports %s with a dot, which hides where names come from", p.name, target)
		}
		if below, ok := strings.CutPrefix(target, module+"/internal/"); ok {
			c.neighbour(spec, p, unit(below))
			continue
		}
		if within(target, module) {
			c.say(spec.Pos(), "%s imports %s, which nothing outside its folder may import", p.name, target)
			continue
		}
		for owned, owner := range owners() {
			if within(target, owned) && p.name != owner && p.name != "smtptest" {
				c.say(spec.Pos(), "%s imports %s, which only %s may", p.name, target, owner)
			}
		}
		if p.layer < len(layers()) && layers()[p.layer].pure && p.name != "smtptest" {
			for _, bad := range impure() {
				if within(target, bad) {
					c.say(spec.Pos(), "%s is of layer %s and imports %s; the layer has no sockets, os, clock or log", p.name, layers()[p.layer].name, target)
				}
			}
		}
	}
}

func (c *checker) neighbour(spec *ast.ImportSpec, p place, target string) {
	if target == p.name {
		return
	}
	if target == "smtptest" {
		c.say(spec.Pos(), "%s imports smtptest, which is for tests only", p.name)
		return
	}
	to, ok := locate(target)
	switch {
	case !ok:
		c.say(spec.Pos(), "%s imports %s, which is in no layer", p.name, target)
	case slices.Contains(never()[p.name], target):
		c.say(spec.Pos(), "%s never imports %s", p.name, target)
	case to.layer > p.layer:
		c.say(spec.Pos(), "%s imports %s, which is of the later layer %s", p.name, target, layers()[to.layer].name)
	case to.layer < p.layer:
	case p.name == "smtptest":
		c.say(spec.Pos(), "smtptest imports %s, which sees all and is seen by none but the demo and cmd", target)
	case layers()[p.layer].strange:
		c.say(spec.Pos(), "%s imports %s, but the packages of layer %s never import each other", p.name, target, layers()[p.layer].name)
	case to.column > p.column:
		c.say(spec.Pos(), "%s imports %s, which is listed after it in layer %s", p.name, target, layers()[p.layer].name)
	}
}

// pure holds one file of a pure layer against what it may not use: clock, sockets, the terminal, goroutines.
func (c *checker) pure(f *ast.File, p place) {
	names := map[string]string{} // local name → import path, for the packages of which some names are allowed
	for _, spec := range f.Imports {
		target := imported(spec)
		if pureNames()[target] == nil {
			continue
		}
		local := path.Base(target)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		names[local] = target
	}
	l := layers()[p.layer]
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if l.silent {
				c.say(n.Pos(), "%s is of layer %s and starts a goroutine", p.name, l.name)
			}
		case *ast.SelectorExpr:
			ident, ok := n.X.(*ast.Ident)
			if !ok || ident.Obj != nil || names[ident.Name] == "" {
				return true
			}
			target := names[ident.Name]
			allowed, listed := pureNames()[target][n.Sel.Name]
			if (listed && !allowed) || (!listed && target == "net") {
				c.say(n.Pos(), "%s is of layer %s and uses %s.%s; the layer has no sockets, os, clock or log", p.name, l.name, target, n.Sel.Name)
			}
		}
		return true
	})
}

// collect notes the package variables of a file.
func (c *checker) collect(folder string, f *ast.File) {
	if c.vars[folder] == nil {
		c.vars[folder] = map[string]bool{}
	}
	for _, decl := range f.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.VAR {
			for _, spec := range d.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if name.Name != "_" {
						c.vars[folder][name.Name] = true
					}
				}
			}
		}
	}
}

// everywhere holds one file against the rules that know no layer: no init function, and no package variable that changes.
func (c *checker) everywhere(folder string, f *ast.File) {
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if fn.Recv == nil && fn.Name.Name == "init" {
			c.say(fn.Pos(), "%s has an init function; the assembly in internal/onward is read from top to bottom instead", folder)
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, left := range n.Lhs {
						c.assigned(folder, f, left)
					}
				}
			case *ast.IncDecStmt:
				c.assigned(folder, f, n.X)
			}
			return true
		})
	}
}

// assigned says so where the left side of an assignment is, or is a part of, a package variable. The parser resolves
// names of the file's own scopes; a name that it leaves open is looked up among the other files' variables.
func (c *checker) assigned(folder string, f *ast.File, left ast.Expr) {
	for {
		switch e := left.(type) {
		case *ast.IndexExpr:
			left = e.X
		case *ast.SelectorExpr:
			left = e.X
		case *ast.StarExpr:
			left = e.X
		case *ast.ParenExpr:
			left = e.X
		case *ast.Ident:
			if c.vars[folder][e.Name] && (e.Obj == nil || f.Scope.Lookup(e.Name) == e.Obj) {
				c.say(e.Pos(), "%s changes its package variable %s; state belongs to a value that the assembly makes", folder, e.Name)
			}
			return
		default:
			return
		}
	}
}

// unit is the first element of a path: the package that the table names.
func unit(below string) string {
	first, _, _ := strings.Cut(below, "/")
	return first
}

// within tells whether a path is the root or lies below it.
func within(name, root string) bool {
	return name == root || strings.HasPrefix(name, root+"/")
}

func imported(spec *ast.ImportSpec) string {
	target, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the parser has accepted it, so this does not happen
	}
	return target
}
