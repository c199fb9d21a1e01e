package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// SocketFile is the name of the control socket in the data folder.
const SocketFile = "onward.sock"

// maxSocketPath is the longest path that fits sockaddr_un on every system that
// we know, in octets; on Linux it has 108 with the final NUL (unix(7)).
const maxSocketPath = 100

// errNobody means that no server listens on the socket.
var errNobody = errors.New("no server listens on the control socket")

// reach calls f with a path of the socket that is short enough for the kernel.
func reach(path string, f func(path string) error) error {
	if len(path) <= maxSocketPath {
		return f(path)
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return f(filepath.Join("/proc/self/fd", strconv.Itoa(int(folder.Fd())), filepath.Base(path)))
}

// Listen opens the control socket of a data folder, for its owner only. The
// caller holds the folder's lock, so a socket that is there already was left
// behind by a process that died; it is removed, unless somebody answers.
func Listen(dir string) (net.Listener, error) { return listen(dir, SocketFile, 0o600) }

// ListenAll opens a socket at path for every user of this machine; see
// Service.ServeSubmissions and Service.ServeOwners. One that was left behind is
// removed, unless somebody answers.
func ListenAll(path string) (net.Listener, error) {
	return listen(filepath.Dir(path), filepath.Base(path), 0o666)
}

// ListenNeighbours opens a socket at path for programs of our own group. One
// that was left behind is removed, unless somebody answers.
func ListenNeighbours(path string) (net.Listener, error) {
	return listen(filepath.Dir(path), filepath.Base(path), 0o660)
}

func listen(dir, name string, mode os.FileMode) (net.Listener, error) {
	path := filepath.Join(dir, name)
	c, err := dialSocket(path)
	if err == nil {
		c.Close()
		return nil, fmt.Errorf("another server answers on %s; stop it first", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the control socket that was left behind: %w; remove %s by hand", err, path)
	}
	var l *net.UnixListener
	err = reach(path, func(short string) error {
		var err error
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the control socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // its short name may be gone by then
	// The peer's uid is checked with every request; until here the folder's mode
	// 0700 keeps others out of the control socket.
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("protect the control socket: %w", err)
	}
	return &socket{l, path}, nil
}

// socket removes its file when it is closed.
type socket struct {
	*net.UnixListener
	path string
}

func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if !errors.Is(err, net.ErrClosed) {
		os.Remove(s.path)
	}
	return err
}

// dialSocket connects to the server at a socket; errNobody if there is none.
func dialSocket(path string) (net.Conn, error) {
	var c net.Conn
	err := reach(path, func(short string) error {
		var err error
		c, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, errNobody
	case errors.Is(err, fs.ErrPermission):
		return nil, fail(Refused, "you may not manage the server of %s: only root and the user that it runs as may; try with sudo", filepath.Dir(path))
	}
	return nil, trouble("connect to the server at "+path, err)
}
