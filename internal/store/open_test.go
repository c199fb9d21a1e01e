package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/onwardmail/onward/internal/queue"
)

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l, err := Lock(dir)
	mustNil(t, err)
	defer l.Unlock()
	_, err = LoadKeys(dir)
	mustNil(t, err)
	openTestQueue(t, dir, Options{})
	d, err := OpenDirectory(dir, Options{})
	mustNil(t, err)
	defer d.Close()
	info, err := os.Stat(dir)
	mustNil(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %04o", info.Mode().Perm())
	}
	entries, err := os.ReadDir(dir)
	mustNil(t, err)
	if len(entries) != 8 { // two databases with log and index, lock, keys
		t.Errorf("%d files: %v", len(entries), entries)
	}
	for _, e := range entries {
		info, err := e.Info()
		mustNil(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", e.Name(), info.Mode().Perm())
		}
	}
}

func TestNotOurs(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"is not a readable queue of Onward": func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("this is a letter, not a database\n", 300)), 0o600)
		},
		"another program": func(path string) error {
			return execSQL(path, "CREATE TABLE addressbook (name TEXT)")
		},
		"another part of Onward": func(path string) error {
			d, err := OpenDirectory(path, Options{})
			if err != nil {
				return err
			}
			return d.Close()
		},
		"format 99, this version knows up to": func(path string) error {
			q, err := OpenQueue(path, Options{})
			if err != nil {
				return err
			}
			if err := q.Close(); err != nil {
				return err
			}
			return execSQL(path, "PRAGMA user_version = 99")
		},
	} {
		path := filepath.Join(t.TempDir(), QueueFile)
		mustNil(t, make(path))
		before, err := os.ReadFile(path)
		mustNil(t, err)
		_, err = OpenQueue(path, Options{})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		after, err := os.ReadFile(path)
		mustNil(t, err)
		if string(before) != string(after) {
			t.Errorf("%s: the file was changed", name)
		}
		t.Log(name, "→", "refused")
	}
}

func execSQL(path, sql string) error {
	c, err := sqlite3.Open("file:" + path)
	if err != nil {
		return err
	}
	return errors.Join(c.Exec(sql), c.Close())
}

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	for range 3 { // the format is made once
		q, err := OpenQueue(dir, Options{})
		mustNil(t, err)
		mustNil(t, q.Close())
		mustNil(t, q.Close())
		if err := q.Enqueue(context.Background(), queue.Lease{}, testEntry(t, q, queue.NewIDs(1), testOptions{})); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, err := q.List(context.Background(), queue.Filter{}); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	if _, err := OpenQueue(filepath.Join(dir, "no", "such", "folder", "queue.db"), Options{}); err == nil {
		t.Error("a queue in no folder")
	}
	if _, err := OpenQueue(dir, Options{VFS: "no-such"}); err == nil {
		t.Error("a VFS that is none")
	}
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l, err := Lock(dir)
	mustNil(t, err)
	_, err = Lock(dir)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) || !strings.Contains(err.Error(), dir) {
		t.Fatal(err)
	}
	mustNil(t, l.Unlock())
	l, err = Lock(dir)
	mustNil(t, err)
	mustNil(t, l.Unlock())
}

// TestLockOfTheDead: a lock ends with its process, however that ends.
func TestLockOfTheDead(t *testing.T) {
	if os.Getenv("ONWARD_TEST_LOCK") != "" {
		if _, err := Lock(os.Getenv("ONWARD_TEST_LOCK")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(7) // without unlocking
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockOfTheDead$")
	cmd.Env = append(os.Environ(), "ONWARD_TEST_LOCK="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Fatalf("%v: %s", err, out)
	}
	l, err := Lock(dir)
	mustNil(t, err)
	mustNil(t, l.Unlock())
}

func TestKeys(t *testing.T) {
	dir := t.TempDir()
	a, err := LoadKeys(dir)
	mustNil(t, err)
	b, err := LoadKeys(dir)
	mustNil(t, err)
	if !a.Created || b.Created {
		t.Errorf("created: %v, then %v", a.Created, b.Created)
	}
	seen := make(map[string]bool)
	for _, name := range keyNames() {
		key := a.Key(name)
		if len(key) != KeySize || string(key) != string(b.Key(name)) || seen[string(key)] {
			t.Errorf("key %s: %x, %x", name, key, b.Key(name))
		}
		seen[string(key)] = true
	}
	path := filepath.Join(dir, KeysFile)
	text, err := os.ReadFile(path)
	mustNil(t, err)
	lines := strings.SplitAfter(string(text), "\n")

	// A key that a newer version needs is added; the others stay.
	mustNil(t, os.WriteFile(path, []byte(strings.TrimSuffix(strings.Join(lines[:len(lines)-2], ""), "\n")), 0o600))
	c, err := LoadKeys(dir)
	mustNil(t, err)
	if string(c.Key(KeyAppPassword)) != string(a.Key(KeyAppPassword)) || string(c.Key(KeySRS)) == string(a.Key(KeySRS)) || c.Created {
		t.Error("adding a key went wrong")
	}
	for want, spoil := range map[string]func() error{
		"chmod 600":      func() error { return os.Chmod(path, 0o640) },
		"is empty":       func() error { return os.WriteFile(path, nil, 0o600) },
		"line 1":         func() error { return os.WriteFile(path, []byte("srs abc\n"), 0o600) },
		"twice":          func() error { return os.WriteFile(path, []byte(lines[2]+lines[2]), 0o600) },
		"a regular file": func() error { return errors.Join(os.Remove(path), os.Symlink("/dev/null", path)) },
	} {
		os.Remove(path)
		mustNil(t, os.WriteFile(path, text, 0o600))
		mustNil(t, spoil())
		if _, err := LoadKeys(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
