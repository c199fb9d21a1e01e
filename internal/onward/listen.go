package onward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/smtpd"
)

// The services, by the names of their keys in [listen] and of their sockets in
// a systemd unit (FileDescriptorName=).
const (
	serviceMX          = "mx"
	serviceSubmission  = "submission"
	serviceSubmissions = "submissions"
	serviceLMTP        = "lmtp"
	serviceWeb         = "web"
)

type listener struct {
	net.Listener
	service string
	profile smtpd.Profile
}

// open opens all ports, or none: sockets that systemd passed win over the
// configuration's addresses.
func (s *Server) open(c *config.Config) ([]listener, error) {
	var passed map[string][]net.Listener
	if s.opt.Listen == nil {
		var err error
		if passed, err = activation.ListenersWithNames(); err != nil {
			return nil, fmt.Errorf("take the sockets that systemd passed: %w", err)
		}
	}
	var all []listener
	for _, svc := range []struct {
		name    string
		addrs   []string
		profile smtpd.Profile
	}{
		{serviceMX, c.Listen.MX, smtpd.MX()},
		{serviceSubmission, c.Listen.Submission, smtpd.Submission()},
		{serviceSubmissions, c.Listen.Submissions, smtpd.Submissions()},
		{serviceLMTP, c.Listen.LMTP, smtpd.LMTP()},
		{serviceWeb, c.Listen.Web, smtpd.Profile{}},
	} {
		if ls := passed[svc.name]; len(ls) > 0 {
			for _, l := range ls {
				all = append(all, listener{l, svc.name, svc.profile})
			}
			continue
		}
		for _, addr := range svc.addrs {
			l, err := s.listen(svc.name, addr)
			if err != nil {
				for _, opened := range all {
					opened.Close()
				}
				return nil, err
			}
			profile := svc.profile
			if slices.Contains(c.Listen.Proxied, addr) {
				profile.Proxies = c.Listen.Proxies
			}
			all = append(all, listener{l, svc.name, profile})
		}
	}
	return all, nil
}

func (s *Server) listen(service, addr string) (net.Listener, error) {
	if s.opt.Listen != nil {
		return s.opt.Listen(service, addr)
	}
	if strings.HasPrefix(addr, "/") {
		l, err := control.ListenNeighbours(addr)
		if err != nil {
			return nil, fmt.Errorf("listen.%s: %w", service, err)
		}
		return l, nil
	}
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use%s; stop it, or set listen.%s to another address", addr, holder(addr), service)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be bound by this user: ports below 1024 need root, CAP_NET_BIND_SERVICE or a systemd socket; start it so, or set listen.%s to a higher port", addr, service)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is not an address of this machine; set listen.%s to one that is", addr, service)
	}
	return nil, fmt.Errorf("listen on %s (listen.%s): %w", addr, service, err)
}

// holder says who holds a port, as far as /proc tells us: " by pid 812
// (master)".
func holder(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return ""
	}
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			f := strings.Fields(line)
			// local address, state 0A (listening) and inode: proc(5)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil || len(inodes) == 0 {
		return ""
	}
	for _, fd := range fds {
		link, err := os.Readlink(fd)
		if err != nil || !inodes[link] {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return " by pid " + pid
		}
		return " by pid " + pid + " (" + strings.TrimSpace(string(name)) + ")"
	}
	return ""
}

// dropRights gives the folders to the configured user and becomes that user.
// It is called after the ports are bound and the certificate is read, and
// before any file is made.
func dropRights(c *config.Config) error {
	if c.User.RunAs == "" {
		return nil
	}
	u, err := user.Lookup(c.User.RunAs)
	if err != nil {
		return fmt.Errorf("user.run_as names %q: %w; make that user (useradd --system %s) or take the key away", c.User.RunAs, err, c.User.RunAs)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("user %s has the id %q, which is not a number", u.Username, u.Uid)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fmt.Errorf("user %s has the group %q, which is not a number", u.Username, u.Gid)
	}
	if os.Getuid() == uid {
		return nil
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("user.run_as is %q, but only root can become another user; start as root or as %s", u.Username, u.Username)
	}
	if err := os.MkdirAll(c.Mailboxes.Path, 0o700); err != nil {
		return fmt.Errorf("make the folder of mailboxes: %w", err)
	}
	for _, dir := range []string{c.Data, c.Mailboxes.Path} {
		if err := giveTree(dir, uid, gid); err != nil {
			return fmt.Errorf("give %s to %s: %w", dir, u.Username, err)
		}
	}
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("leave root's groups: %w", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("become group %d: %w", gid, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("become %s: %w", u.Username, err)
	}
	return nil
}

// giveTree changes the owner of a folder and what is in it; links are not
// followed.
func giveTree(dir string, uid, gid int) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// dialFrom connects from one of our addresses, of the family of the host's.
func dialFrom(sources []netip.Addr) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		if to, err := netip.ParseAddrPort(addr); err == nil {
			for _, from := range sources {
				if from.Is4() == to.Addr().Unmap().Is4() {
					d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
				}
			}
		}
		return d.DialContext(ctx, network, addr)
	}
}
