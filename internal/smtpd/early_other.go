//go:build !unix

package smtpd

import "net"

// hasSpoken cannot be known here without waiting.
func hasSpoken(net.Conn) bool { return false }
