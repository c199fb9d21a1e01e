// Package postfix runs a Postfix of its own for tests and benches: configuration, queue and log in one folder, listening on
// one loopback address, without chroot, apart from any Postfix of the machine.
//
// It needs Debian's postfix package and root, as Postfix's master does. Nothing outside the folder is read or written but
// the programs themselves.
package postfix

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Instance is a running Postfix.
type Instance struct {
	Address string // host:port it listens on
	Config  string // its configuration folder
	Log     string // its log file
	dir     string
}

// Options say what the instance shall do; the rest is Debian's configuration.
type Options struct {
	Main map[string]string // lines of main.cf in addition to, or instead of, those of the package
}

// services are the rows of Debian's master.cf that a relay uses, with chroot off: a folder of ours has no files for it.
const services = `pickup    unix  n  -  n  60  1  pickup
cleanup   unix  n  -  n  -   0  cleanup
qmgr      unix  n  -  n  300 1  qmgr
tlsmgr    unix  -  -  n  1000? 1 tlsmgr
rewrite   unix  -  -  n  -   -  trivial-rewrite
bounce    unix  -  -  n  -   0  bounce
defer     unix  -  -  n  -   0  bounce
trace     unix  -  -  n  -   0  bounce
verify    unix  -  -  n  -   1  verify
flush     unix  n  -  n  1000? 0 flush
proxymap  unix  -  -  n  -   -  proxymap
proxywrite unix -  -  n  -   1  proxymap
smtp      unix  -  -  n  -   -  smtp
relay     unix  -  -  n  -   -  smtp
showq     unix  n  -  n  -   -  showq
error     unix  -  -  n  -   -  error
retry     unix  -  -  n  -   -  error
discard   unix  -  -  n  -   -  discard
local     unix  -  n  n  -   -  local
virtual   unix  -  n  n  -   -  virtual
anvil     unix  -  -  n  -   1  anvil
scache    unix  -  -  n  -   1  scache
postlog   unix-dgram n - n -  1  postlogd
`

// Start writes the configuration into dir, an empty folder whose parents other users may enter, and starts Postfix on
// address. It returns when the port answers. The context ends the wait, not the instance: that is Stop.
func Start(ctx context.Context, dir, address string, o Options) (*Instance, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("postfix's address: %w", err)
	}
	p := &Instance{Address: address, Config: filepath.Join(dir, "conf"), Log: filepath.Join(dir, "mail.log"), dir: dir}
	for _, folder := range []string{p.Config, filepath.Join(dir, "queue"), filepath.Join(dir, "lib")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("prepare postfix: %w", err)
		}
	}
	if out, err := exec.CommandContext(ctx, "chown", "postfix", filepath.Join(dir, "lib")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("give postfix its folder (it needs root): %w: %s", err, out)
	}
	settings := map[string]string{
		"compatibility_level":   "3.6",
		"queue_directory":       filepath.Join(dir, "queue"),
		"data_directory":        filepath.Join(dir, "lib"),
		"maillog_file":          p.Log,
		"maillog_file_prefixes": dir,
		"inet_interfaces":       host,
		"inet_protocols":        "ipv4",
		"myhostname":            "peer.example.net",
		"mydestination":         "",
		"mynetworks":            "127.0.0.0/8",
		"alias_maps":            "",
		"alias_database":        "",
		"biff":                  "no",
		"append_dot_mydomain":   "no",
	}
	for key, value := range o.Main {
		settings[key] = value
	}
	var main strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&main, "%s = %s\n", key, settings[key])
	}
	master := fmt.Sprintf("%s inet n - n - - smtpd\n", port) + services
	if err := p.write("main.cf", main.String()); err != nil {
		return nil, err
	}
	if err := p.write("master.cf", master); err != nil {
		return nil, err
	}
	if err := p.command(ctx, "start"); err != nil {
		return nil, err
	}
	if err := p.answers(ctx); err != nil {
		_ = p.Stop()
		return nil, err
	}
	return p, nil
}

// write makes a file of the configuration folder.
func (p *Instance) write(name, text string) error {
	if err := os.WriteFile(filepath.Join(p.Config, name), []byte(text), 0o644); err != nil {
		return fmt.Errorf("configure postfix: %w", err)
	}
	return nil
}

// Stop ends all of its processes.
func (p *Instance) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return p.command(ctx, "stop")
}

// Master is the process id of the instance's master, the parent of all its processes.
func (p *Instance) Master() (int, error) {
	text, err := os.ReadFile(filepath.Join(p.dir, "queue", "pid", "master.pid"))
	if err != nil {
		return 0, fmt.Errorf("find postfix's master: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// command runs the postfix program. Its output goes to a file: a daemon that inherited a pipe would keep us waiting.
func (p *Instance) command(ctx context.Context, verb string) error {
	name := filepath.Join(p.dir, verb+".out")
	out, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("postfix %s: %w", verb, err)
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "postfix", "-c", p.Config, verb)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(name)
		logged, _ := os.ReadFile(p.Log)
		return fmt.Errorf("postfix %s: %w: %s%s", verb, err, said, logged)
	}
	return nil
}

func (p *Instance) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "tcp", p.Address)
		if err == nil {
			greeting := make([]byte, 3)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_, err = conn.Read(greeting)
			conn.Close()
			if err == nil && string(greeting) == "220" {
				return nil
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			logged, _ := os.ReadFile(p.Log)
			return fmt.Errorf("postfix does not answer on %s: %w: %s", p.Address, ctx.Err(), logged)
		}
	}
}
