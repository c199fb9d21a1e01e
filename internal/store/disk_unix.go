//go:build unix

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// freeSpace returns how many octets an unprivileged process may still write.
func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// noRoom reports whether the operating system says that the disk or the quota
// is full.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// ErrLocked means that another process holds the data folder.
var ErrLocked = errors.New("the data folder is in use")

// FolderLock is the right to use a data folder. It ends with Unlock or with the
// process, however that ends.
type FolderLock struct{ file *os.File }

// Lock makes the folder if need be and takes its lock, or says at once who has
// it (ErrLocked).
func Lock(dir string) (*FolderLock, error) {
	if err := MakeFolder(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, LockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("open the lock of the data folder: %w; run as the user that owns %s", err, dir)
		}
		return nil, fmt.Errorf("open the lock of the data folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by %s; stop that process, or speak to it through onward.sock", ErrLocked, dir, holder(f))
		}
		return nil, fmt.Errorf("lock the data folder %s: %w", dir, err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil && !noRoom(err) { // the lock holds without the number, too
			f.Close()
			return nil, fmt.Errorf("write the lock of the data folder: %w", err)
		}
	}
	return &FolderLock{f}, nil
}

// holder names the process that wrote its number into the lock.
func holder(f *os.File) string {
	var b [20]byte
	n, _ := f.ReadAt(b[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return "another process"
	}
	return "pid " + strconv.Itoa(pid)
}

// Unlock gives the folder back. The file stays: removing it would let two
// processes lock two files of one name.
func (l *FolderLock) Unlock() error { return l.file.Close() }
