package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/onwardmail/onward/internal/address"
)

// MaxFile is the size of a configuration file that is read, in octets: room for some ten thousand routes.
const MaxFile = 1 << 20

// maxDepth is how deeply tables and lists of the file may stand in one another. The deepest that has a meaning is 4.
const maxDepth = 8

// Source is what Load reads, and what it cannot know by itself.
type Source struct {
	Name      string // of the file, for messages
	Directory string // where relative paths begin; the file's folder
	Content   []byte // TOML; empty: all by default
	Hostname  string // of the system: the value of hostname if the file has none
}

// ReadFile loads the configuration file at path, relative paths in it beginning at its folder. The error is an Errors.
func ReadFile(path, hostname string) (*Config, error) {
	fail := func(problem string) (*Config, error) { return nil, Errors{{File: path, Problem: problem}} }
	absolute, err := filepath.Abs(path)
	if err != nil {
		return fail("find its folder: " + err.Error())
	}
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fail("there is no such file; name another with --config, or start without one to run with the defaults")
		}
		return fail("cannot be opened: " + err.Error())
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return fail("cannot be read: " + err.Error())
	}
	return Load(Source{Name: path, Directory: filepath.Dir(absolute), Content: content, Hostname: hostname})
}

// Load reads a configuration. The error is an Errors, with every mistake that was found.
func Load(s Source) (*Config, error) {
	l := &loader{source: s, config: new(Config), lines: make(map[string]int)}
	if tree, ok := l.parse(); ok {
		l.decode(tree)
		if len(l.errors) == 0 {
			l.finish()
		}
	}
	if len(l.errors) > 0 {
		l.errors.sort()
		return nil, l.errors
	}
	return l.config, nil
}

// loader is one run of Load.
type loader struct {
	source Source
	config *Config
	lines  map[string]int // line of each key, by its path
	errors Errors
}

// separator joins the parts of a key's path: they may contain dots, but not this (TOML allows no control characters).
const separator = "\x00"

// line returns the line of a key, or of the nearest table around it.
func (l *loader) line(path []string) int {
	for n := len(path); n > 0; n-- {
		if line, ok := l.lines[strings.Join(path[:n], separator)]; ok {
			return line
		}
	}
	return 0
}

// fail adds a mistake.
func (l *loader) fail(path []string, format string, args ...any) {
	l.errors = append(l.errors, &Error{l.source.Name, l.line(path), keyName(path), fmt.Sprintf(format, args...)})
}

// keyName writes a path as in the file, with quotes around parts that are not bare keys.
func keyName(path []string) string {
	quoted := make([]string, len(path))
	for i, part := range path {
		quoted[i] = bareOrQuoted(part)
	}
	return strings.Join(quoted, ".")
}

func bareOrQuoted(part string) string {
	bare := part != "" && !strings.ContainsFunc(part, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_'
	})
	if bare {
		return part
	}
	return strconv.Quote(part)
}

// parse reads the TOML and notes where each key stands.
func (l *loader) parse() (map[string]any, bool) {
	if len(l.source.Content) > MaxFile {
		l.errors = Errors{{File: l.source.Name, Problem: fmt.Sprintf("the file is larger than %d octets: this is no configuration of Onward", MaxFile)}}
		return nil, false
	}
	tree := make(map[string]any)
	if err := toml.Unmarshal(l.source.Content, &tree); err != nil {
		e := &Error{File: l.source.Name, Problem: strings.TrimPrefix(err.Error(), "toml: ")}
		if at := (*toml.DecodeError)(nil); errors.As(err, &at) {
			e.Line, _ = at.Position()
			e.Key = keyName(at.Key())
		}
		e.Problem = "cannot be read as TOML: " + e.Problem
		l.errors = Errors{e}
		return nil, false
	}
	l.index()
	return tree, true
}

// index notes the line of each key of a file that is known to be TOML.
func (l *loader) index() {
	p := &unstable.Parser{}
	p.Reset(l.source.Content)
	line, offset := 1, 0 // keys come in the order of the file
	note := func(prefix []string, keys unstable.Iterator) []string {
		path := slices.Clone(prefix)
		for keys.Next() {
			k := keys.Node()
			if at := int(k.Raw.Offset); at > offset {
				line += strings.Count(string(l.source.Content[offset:at]), "\n")
				offset = at
			}
			path = append(path, string(k.Data))
			full := strings.Join(path, separator)
			if _, known := l.lines[full]; !known {
				l.lines[full] = line
			}
		}
		return path
	}
	var table []string
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = note(nil, e.Key())
		case unstable.KeyValue:
			indexValue(e, table, note, 0)
		}
	}
}

// indexValue notes the keys of one assignment, and of the inline tables in it.
func indexValue(e *unstable.Node, prefix []string, note func([]string, unstable.Iterator) []string, depth int) {
	path := note(prefix, e.Key())
	if v := e.Value(); v.Kind == unstable.InlineTable && depth < maxDepth {
		for inner := v.Children(); inner.Next(); {
			if inner.Node().Kind == unstable.KeyValue {
				indexValue(inner.Node(), path, note, depth+1)
			}
		}
	}
}

// decode moves the values of the file into the Config, with defaults for those it leaves out, and reports what is left.
func (l *loader) decode(tree map[string]any) {
	known := make(map[string][]string) // the keys of each section; those of the top under ""
	for _, s := range specs() {
		section := s.Section()
		name := strings.TrimPrefix(s.Name, section+".")
		known[section] = append(known[section], name)
		table, ok := tree, true
		if section != "" {
			table, ok = l.section(tree, section)
		}
		if v, given := lookUp(table, name); ok {
			l.take(s, v, given)
		}
	}
	known["login"] = append(known["login"], "backends")
	if table, ok := l.section(tree, "login"); ok {
		l.backends(table)
	}
	known["routes"] = nil
	if table, ok := l.section(tree, "routes"); ok {
		l.routes(table)
	}
	l.leftOver(tree, known)
}

// lookUp finds a key of a section; a dot in its name leads into a table there.
func lookUp(table map[string]any, name string) (v any, given bool) {
	inner, rest, nested := strings.Cut(name, ".")
	if !nested {
		v, given = table[name]
		return v, given
	}
	below, _ := table[inner].(map[string]any)
	return lookUp(below, rest)
}

// section returns a table of the top level, an empty one if the file has none.
func (l *loader) section(tree map[string]any, name string) (map[string]any, bool) {
	switch v := tree[name].(type) {
	case nil:
		return nil, true
	case map[string]any:
		return v, true
	}
	return nil, false
}

// take gives one key its value: from the file, or by default.
func (l *loader) take(s spec, v any, given bool) {
	path := strings.Split(s.Name, ".")
	setting := Setting{Key: s.Name, Value: s.Default}
	if given {
		setting.Value, setting.Line = tomlText(v), l.line(path)
	} else if s.toml == "" {
		l.config.settings = append(l.config.settings, setting)
		return
	} else {
		var byDefault struct{ V any }
		if err := toml.Unmarshal([]byte("V = "+s.toml), &byDefault); err != nil {
			l.fail(path, "the default %s is not TOML: %v", s.toml, err)
			return
		}
		v = byDefault.V
	}
	if err := s.set(l.config, v); err != nil {
		l.fail(path, "%s", must(err, s.Allowed))
		return
	}
	l.config.settings = append(l.config.settings, setting)
}

// leftOver reports keys that do not exist, and sections that are none.
func (l *loader) leftOver(tree map[string]any, known map[string][]string) {
	for _, name := range sortedNames(tree) {
		if slices.Contains(known[""], name) {
			continue
		}
		keys, isSection := known[name]
		table, isTable := tree[name].(map[string]any)
		switch {
		case isSection && !isTable:
			l.fail([]string{name}, "this is a section, not a key: write [%s] on a line of its own and its keys below", name)
		case isSection && name != "routes":
			l.leftIn(table, []string{name}, keys)
		case !isSection && isTable:
			l.unknown("section", []string{name}, sortedNames(known)[1:])
		case !isSection:
			l.unknown("key", []string{name}, known[""])
		}
	}
}

// leftIn reports what a section, or a table in one, has besides keys.
func (l *loader) leftIn(table map[string]any, path, keys []string) {
	for _, name := range sortedNames(table) {
		var below []string // the keys of a table of that name
		for _, k := range keys {
			if rest, ok := strings.CutPrefix(k, name+"."); ok {
				below = append(below, rest)
			}
		}
		at := append(slices.Clone(path), name)
		inner, isTable := table[name].(map[string]any)
		switch {
		case slices.Contains(keys, name):
		case len(below) == 0:
			l.unknown("key", at, heads(keys))
		case isTable:
			l.leftIn(inner, at, below)
		default:
			l.fail(at, "this is a table, not a key: write [%s] on a line of its own and its keys below", keyName(at))
		}
	}
}

// heads are the first parts of names, each once.
func heads(names []string) []string {
	var all []string
	for _, n := range names {
		head, _, _ := strings.Cut(n, ".")
		all = append(all, head)
	}
	return slices.Compact(all)
}

// unknown reports a key or section that does not exist. siblings are those that do, in the same place.
func (l *loader) unknown(what string, path, siblings []string) {
	name, around := path[len(path)-1], path[:len(path)-1]
	problem := "unknown " + what + " `" + name + "`"
	if len(around) > 0 {
		problem += " in [" + keyName(around) + "]"
	}
	near := nearest(name, siblings)
	home := slices.IndexFunc(specs(), func(s spec) bool { return what == "key" && strings.HasSuffix(s.Name, "."+name) })
	switch {
	case near != "":
		problem += "; did you mean `" + near + "`?"
	case home >= 0:
		problem += "; it belongs in [" + strings.TrimSuffix(specs()[home].Name, "."+name) + "]"
	default:
		problem += "; there are: " + strings.Join(siblings, ", ")
	}
	l.errors = append(l.errors, &Error{File: l.source.Name, Line: l.line(path), Problem: problem})
}

// finish fills in what follows from other values, and holds them against each other.
func (l *loader) finish() {
	c := l.config
	if c.Hostname == "" {
		c.Hostname = "localhost" // what a machine without a usable name is called
		if d, err := address.ParseDomain(strings.TrimSuffix(l.source.Hostname, ".")); err == nil {
			if _, literal := d.Literal(); !literal {
				c.Hostname = d.String()
			}
		}
		l.show("hostname", c.Hostname)
	}
	l.resolve(&c.Data)
	l.resolve(&c.Listen.Sendmail)
	l.resolve(&c.Listen.Accounts)
	l.resolve(&c.Login.ClientCA)
	l.resolve(&c.TLS.Certificate)
	l.resolve(&c.TLS.Key)
	for i := range c.TLS.Chains {
		l.resolve(&c.TLS.Chains[i])
	}
	if c.Mailboxes.Path == "" {
		c.Mailboxes.Path = filepath.Join(c.Data, "mailboxes")
	}
	l.resolve(&c.Mailboxes.Path)
	l.finishRoutes()
	l.checkTLS()
	l.checkListeners()
	l.checkSource()
}

// show puts a value that was found in place of the words that describe the default.
func (l *loader) show(key, value string) {
	for i := range l.config.settings {
		if l.config.settings[i].Key == key {
			l.config.settings[i].Value = strconv.Quote(value)
		}
	}
}

// resolve makes a relative path one that begins at the file's folder.
func (l *loader) resolve(path *string) {
	if *path != "" && !filepath.IsAbs(*path) {
		*path = filepath.Join(l.source.Directory, *path)
	}
}

func (l *loader) checkTLS() {
	t := l.config.TLS
	if t.Certificate != "" && t.Key == "" {
		l.fail([]string{"tls", "certificate"}, "`key` is missing: give both, or neither for a self-signed certificate")
	}
	if t.Certificate == "" && t.Key != "" {
		l.fail([]string{"tls", "key"}, "`certificate` is missing: give both, or neither for a self-signed certificate")
	}
}

// checkListeners finds addresses that stand twice. Port 0 is a new one each time.
func (l *loader) checkListeners() {
	seen := make(map[string]string)
	listen := l.config.Listen
	for _, s := range []struct {
		name      string
		addresses []string
	}{{"mx", listen.MX}, {"submission", listen.Submission}, {"submissions", listen.Submissions}, {"lmtp", listen.LMTP}, {"web", listen.Web}} {
		for _, a := range s.addresses {
			if other, twice := seen[a]; twice && !strings.HasSuffix(a, ":0") {
				l.fail([]string{"listen", s.name}, "%q is taken by listen.%s; give each address once", a, other)
			}
			seen[a] = s.name
		}
	}
	if listen.Accounts != "" && listen.Accounts == listen.Sendmail {
		l.fail([]string{"listen", "accounts"}, "%q is the socket of listen.sendmail; give each its own", listen.Accounts)
	}
	for _, a := range listen.Proxied {
		if at := seen[a]; at == "" || at == "web" {
			l.fail([]string{"listen", "proxied"}, "%q is not among the addresses of mx, submission, submissions and lmtp; give it there as well", a)
		}
	}
}

func (l *loader) checkSource() {
	var four, six int
	for _, a := range l.config.Delivery.Source {
		if a.Is4() {
			four++
		} else {
			six++
		}
	}
	if four > 1 || six > 1 {
		l.fail([]string{"delivery", "source"}, "several addresses of one family; give at most one IPv4 and one IPv6 address")
	}
}

func sortedNames[T any](table map[string]T) []string { return slices.Sorted(maps.Keys(table)) }

// tomlText writes a value as it could stand in the file.
func tomlText(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = tomlText(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, name := range sortedNames(v) {
			parts = append(parts, bareOrQuoted(name)+" = "+tomlText(v[name]))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return fmt.Sprint(v)
}
