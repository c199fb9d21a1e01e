package explain

import (
	_ "embed"
	"strings"
	"testing"
)

//go:embed testdata/corpus.txt
var corpus string

// leastRight is how much of the corpus must be classed as labelled.
const leastRight = 0.97

// TestCorpus measures the reasons found in replies, log lines and exceptions of
// many kinds, each labelled by hand.
func TestCorpus(t *testing.T) {
	right, all := 0, 0
	var wrong []string
	for line := range strings.Lines(corpus) {
		reason, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			t.Fatalf("not a label and a text: %q", line)
		}
		text = strings.ReplaceAll(text, `\n`, "\n")
		all++
		if e := Line(text, Options{}); e.Reason == reason {
			right++
		} else {
			wrong = append(wrong, "want "+reason+", got "+e.Reason+": "+text)
		}
	}
	t.Logf("%d of %d right", right, all)
	if float64(right) < leastRight*float64(all) {
		t.Errorf("only %d of %d are right:\n%s", right, all, strings.Join(wrong, "\n"))
	} else {
		t.Logf("wrong:\n%s", strings.Join(wrong, "\n"))
	}
}
