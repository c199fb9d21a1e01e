package store

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// KeySize is the length of a key in octets.
const KeySize = 32

// KeyName names a key of the key file. Names are never reused.
type KeyName string

// The keys that every installation has.
const (
	// KeyAppPassword is the HMAC key of stored app passwords.
	KeyAppPassword KeyName = "app-password"
	// KeyLoginName hashes names that match no account in failed logins.
	KeyLoginName KeyName = "login-name"
	// KeyReference makes the references that replies carry.
	KeyReference KeyName = "reference"
	// KeySRS signs rewritten reverse-paths.
	KeySRS KeyName = "srs"
)

// keyNames are the keys in the order of the file.
func keyNames() []KeyName {
	return []KeyName{KeyAppPassword, KeyLoginName, KeyReference, KeySRS}
}

// Keys are the secrets of an installation.
type Keys struct {
	// Created says that there was no key file and a new one was made: app
	// passwords and references from before do not work with it.
	Created bool
	keys    map[KeyName][]byte
}

// Key returns a key of KeySize octets, which must not be changed. It panics for
// a name that is not one of the constants.
func (k *Keys) Key(name KeyName) []byte {
	key, ok := k.keys[name]
	if !ok {
		panic("store: no key is called " + string(name))
	}
	return key
}

const keysHead = "# Keys of this Onward. Whoever has them can forge app passwords and return addresses.\n" +
	"# Keep a copy apart from the copies of the databases. One a line: name, 32 octets in base64.\n"

// LoadKeys reads the key file of a data folder. It makes the file at the first
// start, and adds keys that a newer version needs; what is there is never
// changed. The caller holds the folder's lock.
func LoadKeys(dir string) (*Keys, error) {
	path := filepath.Join(dir, KeysFile)
	text, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	k := &Keys{Created: text == nil, keys: make(map[KeyName][]byte)}
	if text == nil {
		text = []byte(keysHead)
	} else if err := k.parse(path, text); err != nil {
		return nil, err
	}
	have := len(k.keys)
	for _, name := range keyNames() {
		if k.keys[name] != nil {
			continue
		}
		key := make([]byte, KeySize)
		rand.Read(key) // never fails
		k.keys[name] = key
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		text = fmt.Appendf(text, "%s %s\n", name, base64.StdEncoding.EncodeToString(key))
	}
	if len(k.keys) == have {
		return k, nil
	}
	if err := writeDurably(path, text); err != nil {
		return nil, fmt.Errorf("write the key file: %w", err)
	}
	return k, nil
}

// readSecret reads a file that only its owner may read; nil if there is none.
func readSecret(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the key file %s is not a regular file; put the file itself there", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key file %s may be read by others (mode %04o); only its owner may: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("the key file %s is empty; restore it from a copy, or remove it to have new keys (app passwords must then be made anew)", path)
	}
	return text, nil
}

func (k *Keys) parse(path string, text []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, coded, _ := strings.Cut(line, " ")
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(coded))
		if err != nil || len(key) != KeySize {
			return fmt.Errorf("the key file %s, line %d: the key %q is not %d octets in base64; restore the file from a copy", path, n, name, KeySize)
		}
		if k.keys[KeyName(name)] != nil {
			return fmt.Errorf("the key file %s, line %d: the key %q stands there twice; remove the wrong one", path, n, name)
		}
		k.keys[KeyName(name)] = key
	}
	return lines.Err()
}

// writeDurably replaces a file so that after a crash either the old or the new
// one is there, whole.
func writeDurably(path string, text []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
