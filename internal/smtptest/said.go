package smtptest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Said is what a line of a script expects of the server.
type Said struct {
	// Text is the line, with "..." for what is left open, or an Expression.
	Text       string
	Expression bool
	// Times is how many such lines come.
	Times int
}

// ParseSaid reads a line that begins with S: S~ S*20: or S*20~.
func ParseSaid(line string) (Said, bool) {
	rest, ok := strings.CutPrefix(line, "S")
	if !ok {
		return Said{}, false
	}
	said := Said{Times: 1}
	if count, ok := strings.CutPrefix(rest, "*"); ok {
		i := strings.IndexAny(count, ":~")
		if i < 0 {
			return Said{}, false
		}
		n, err := strconv.Atoi(count[:i])
		if err != nil || n < 1 {
			return Said{}, false
		}
		said.Times, rest = n, count[i:]
	}
	if rest == "" || rest[0] != ':' && rest[0] != '~' {
		return Said{}, false
	}
	said.Expression = rest[0] == '~'
	said.Text = strings.TrimPrefix(rest[1:], " ")
	return said, true
}

// matches holds what was said against what the script expects.
func (w Said) matches(said string) (bool, error) {
	if w.Expression {
		re, err := regexp.Compile(w.Text)
		if err != nil {
			return false, err
		}
		return re.MatchString(said), nil
	}
	parts := strings.Split(w.Text, "...")
	if len(parts) == 1 {
		return w.Text == said, nil
	}
	if !strings.HasPrefix(said, parts[0]) {
		return false, nil
	}
	said = said[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(said, part)
		if i < 0 {
			return false, nil
		}
		said = said[i+len(part):]
	}
	return strings.HasSuffix(said, parts[len(parts)-1]), nil
}

// fold is from how many equal lines on they are written as one.
const fold = 4

// written makes lines of a script of what a server has said.
func written(said []string) []string {
	var lines []string
	for len(said) > 0 {
		n := 1
		for n < len(said) && said[n] == said[0] {
			n++
		}
		if n >= fold {
			lines = append(lines, fmt.Sprintf("S*%d: %s", n, said[0]))
		} else {
			n = 1
			lines = append(lines, "S: "+said[0])
		}
		said = said[n:]
	}
	return lines
}
