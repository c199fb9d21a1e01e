package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/web"
)

func built(t *testing.T, o Options) (string, Result) {
	t.Helper()
	o.Dir = filepath.Join(t.TempDir(), "site")
	if err := Prepare(o.Dir); err != nil {
		t.Fatal(err)
	}
	if o.Handler == nil {
		o.Handler = web.New(web.Options{Static: true})
	}
	result, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return o.Dir, result
}

// TestEveryLinkLeadsToAFile reads what was written as a browser would.
func TestEveryLinkLeadsToAFile(t *testing.T) {
	dir, result := built(t, Options{Languages: []string{"en"}})
	if result.Pages < 400 {
		t.Errorf("only %d pages", result.Pages)
	}
	anyLink := regexp.MustCompile(`\b(?:href|src|action|data-index)="([^"]*)"`)
	pages := 0
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".html" {
			return err
		}
		pages++
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range anyLink.FindAllStringSubmatch(string(text), -1) {
			to, _, _ := strings.Cut(m[1], "#")
			switch {
			case to == "", strings.HasPrefix(to, "https://"):
				continue
			case strings.HasPrefix(to, "/"), strings.Contains(to, "?"):
				t.Errorf("%s links to %s", name, m[1])
				continue
			}
			file := filepath.Join(filepath.Dir(name), filepath.FromSlash(to))
			if strings.HasSuffix(to, "/") {
				file = filepath.Join(file, "index.html")
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
		return nil
	})
	if err != nil || pages < result.Pages {
		t.Errorf("%d of %d pages read: %v", pages, result.Pages, err)
	}
	for _, b := range reference.Basics() {
		if _, err := os.Stat(filepath.Join(dir, "en", "codes", fmt.Sprint(b.Code), "index.html")); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ja")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a language that was not asked for is written: %v", err)
	}
}

func TestBrokenLinkIsNamed(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/en/" {
			w.Write([]byte(`<a href="/en/gone">x</a>`)) //nolint:errcheck // it goes to memory
			return
		}
		http.NotFound(w, r)
	})
	_, err := Build(t.Context(), Options{Handler: h, Dir: t.TempDir(), Languages: []string{"en"}})
	if err == nil || !strings.Contains(err.Error(), "/en/gone") || !strings.Contains(err.Error(), "on /en/ is broken: 404") {
		t.Errorf("got %v", err)
	}
}

func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(dir); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a folder of others: %v", err)
	}
	site := filepath.Join(dir, "site")
	for range 2 {
		if err := Prepare(site); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(site, "old.html")); err == nil {
			t.Error("an old page is left")
		}
		if err := os.WriteFile(filepath.Join(site, "old.html"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuildStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, Options{Handler: web.New(web.Options{Static: true}), Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRelative(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"/en/", "/en/codes/550", "codes/550/"},
		{"/en/codes/550", "/en/", "../../"},
		{"/en/codes/550", "/en/codes/550", "./"},
		{"/en/codes/550", "/assets/a-1.css", "../../../assets/a-1.css"},
		{"/en/codes/5.7.26", "/ja/codes/5.7.26", "../../../ja/codes/5.7.26/"},
	} {
		if got := relativeTo(c.from, c.to); got != c.want {
			t.Errorf("from %s to %s is %s, want %s", c.from, c.to, got, c.want)
		}
	}
}
