//go:build unix

package smtpd

import (
	"net"
	"syscall"
)

// hasSpoken reports whether something has come from the client, without waiting
// and without taking it.
func hasSpoken(c net.Conn) bool {
	if p, ok := c.(*proxied); ok {
		if len(p.head) > 0 {
			return true
		}
		c = p.Conn
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		b, ok := c.(interface{ Buffered() int })
		return ok && b.Buffered() > 0
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	spoken := false
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		spoken = err == nil && n > 0
		return true
	})
	return err == nil && spoken
}
