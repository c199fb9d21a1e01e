package demo

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestDemo plays the demo as a user sees it.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Out: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"251 2.1.5 User not local; will forward to <anna@example.net>",
		"551 5.1.6 User not local; please try <new@example.net>",
		"535-5.7.8 Authentication credentials invalid",
		"app_password_expired",
		"451 4.3.0",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not show %q", want)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("escape sequences although Color is off")
	}
}

// TestDemoJapanese plays it with Japanese explanations.
func TestDemoJapanese(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Out: &out, Lang: "ja"}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "転送") {
		t.Error("no Japanese explanation is shown")
	}
}

// TestAnyAlteredReplyFails changes each reply of the demo in turn, in its code
// and in its text, and wants the demo to notice.
func TestAnyAlteredReplyFails(t *testing.T) {
	total := 0
	if err := Run(t.Context(), Options{Out: &bytes.Buffer{}, alter: func(n int, reply string) string {
		total = n
		return reply
	}}); err != nil {
		t.Fatal(err)
	}
	if total < 40 {
		t.Fatalf("the demo has only %d replies", total)
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, 8)
	for n := 1; n <= total; n++ {
		for name, alter := range map[string]func(string) string{"code": otherCode, "text": otherText} {
			wait.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				err := Run(t.Context(), Options{Out: &bytes.Buffer{}, alter: func(i int, reply string) string {
					if i == n {
						return alter(reply)
					}
					return reply
				}})
				if err == nil {
					t.Errorf("reply %d of %d was altered in its %s and the demo did not notice", n, total, name)
				}
			})
		}
	}
	wait.Wait()
}

// otherCode changes the second digit of the code in each line.
func otherCode(reply string) string {
	lines := strings.Split(reply, "\n")
	for i, line := range lines {
		digit, _ := strconv.Atoi(line[1:2])
		lines[i] = fmt.Sprintf("%s%d%s", line[:1], (digit+1)%6, line[2:])
	}
	return strings.Join(lines, "\n")
}

// otherText adds a word.
func otherText(reply string) string { return reply + " !" }
