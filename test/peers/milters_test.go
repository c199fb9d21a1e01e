//go:build peers

package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowStart is how long a filter may take until it listens: rspamd reads some hundred Lua files first.
const slowStart = 60 * time.Second

// addConfig appends sections to the configuration of a server that does not run yet.
func (o *server) addConfig(t *testing.T, text string) {
	t.Helper()
	f, err := os.OpenFile(o.config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// files writes files into a folder that every user may enter, and returns it.
func files(t *testing.T, all map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runProgram runs a program until the end of the test; it shows what the program said if the test fails.
func runProgram(t *testing.T, network, address string, command ...string) {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c := exec.Command(command[0], command[1:]...)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // rspamd has workers
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(time.Second, func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }) // clamav-milter takes its time
		_ = c.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("what %s said last:\n%s", command[0], tail(log.Name(), 40))
		}
	})
	until(t, command[0]+" listens on "+address, slowStart, func() bool {
		conn, err := net.Dial(network, address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// sent is what swaks sends, with what must come of it.
type sent struct {
	subject, body string
	status        int      // of swaks: 0 if the message is taken
	says          string   // the server
	has           []string // of the header section that arrives
}

// exchange sends each and looks at what arrives.
func exchange(t *testing.T, o *server, world *sink, mails []sent) {
	t.Helper()
	for _, m := range mails {
		t.Run(m.subject, func(t *testing.T) {
			out, status := program(t, "", "swaks", "--server", o.mx, "--ehlo", "client.example.com", "--from", "anna@example.org", "--to", "friend@example.com",
				"--header", "Subject: "+m.subject, "--body", m.body)
			if status != m.status || !strings.Contains(out, m.says) {
				t.Fatalf("swaks ended with %d, want %d and %q\n%s", status, m.status, m.says, out)
			}
			if m.status != 0 {
				return
			}
			got := world.await(t, "friend@example.com", m.subject)
			header, _, _ := strings.Cut(strings.ReplaceAll(got.content, "\r", ""), "\n\n")
			for _, want := range m.has {
				if !strings.Contains(header, want) {
					t.Errorf("what arrives lacks %q:\n%s", want, header)
				}
			}
			if !strings.HasPrefix(header, "Received: ") && !strings.Contains(header, "\nReceived: ") {
				t.Errorf("what arrives lacks our trace field:\n%s", header)
			}
		})
	}
	all, _ := world.seen()
	due := 0
	for _, m := range mails {
		if m.status == 0 {
			due++
		}
	}
	if len(all) != due {
		t.Errorf("%d messages arrived, want %d", len(all), due)
	}
}

// TestRspamd has rspamd judge mail, attached as docs/CONFIGURATION.md says: its proxy worker is a milter and scans itself. It has
// no network here, so the patterns that rspamd knows for tests are what it finds.
func TestRspamd(t *testing.T) {
	at := freePort(t)
	dir := files(t, map[string]string{
		"override.d/worker-proxy.inc":      fmt.Sprintf("bind_socket = %q;\nupstream \"local\" { default = yes; self_scan = yes; }\n", at),
		"override.d/worker-normal.inc":     "enabled = false;\n",
		"override.d/worker-controller.inc": "enabled = false;\n",
		"override.d/logging.inc":           "type = \"console\";\nlevel = \"notice\";\n",
		"override.d/options.inc":           fmt.Sprintf("enable_test_patterns = true;\ndisable_hyperscan = true;\ndns { nameserver = [%q]; timeout = 0.2s; retransmits = 1; }\n", resolver(t)),
		"override.d/fuzzy_check.conf":      "enabled = false;\n", // looks for its servers in DNS when it starts
		"override.d/rbl.conf":              "enabled = false;\n",
		"override.d/surbl.conf":            "enabled = false;\n",
		"override.d/milter_headers.conf":   "use = [\"x-spamd-bar\"];\nskip_local = false;\n",
		"db/.keep":                         "", "run/.keep": "", "log/.keep": "",
	})
	runProgram(t, "tcp", at, "rspamd", "-i", "-f", "-c", "/etc/rspamd/rspamd.conf", "--var=LOCAL_CONFDIR="+dir, "--var=DBDIR="+dir+"/db", "--var=RUNDIR="+dir+"/run", "--var=LOGDIR="+dir+"/log")
	world := newSink(t, nil)
	o := prepare(t, settings{routes: map[string]string{"*": world.address}, relay: []string{"127.0.0.0/8"}})
	o.addConfig(t, fmt.Sprintf("[milters]\nservers = [%q]\n", at))
	o.start(t)
	const test = "JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
	exchange(t, o, world, []sent{
		{"good", strings.Repeat("Dear friend, see you on Sunday.\n", 3000), 0, "250 2.0.0", []string{"Subject: good", "X-Spamd-Bar: "}},
		{"spam", "Buy this.\nX" + test + "\n", 26, "550 5.7.1 Refused by a filter: Gtube pattern", nil},
		{"marked", "Perhaps buy this.\nY" + test + "\n", 0, "250 2.0.0", []string{"Subject: marked", "X-Spam: Yes"}},
		{"renamed", "Think of buying this.\nZ" + test + "\n", 0, "250 2.0.0", []string{"Subject: *** SPAM *** renamed"}},
	})
}

// TestClamAV has clamav-milter and clamd look for viruses, attached as docs/CONFIGURATION.md says. Their one signature is that of the
// test file of EICAR: the real ones come over the network. What the filter would hold back is refused, as we have no place for it.
func TestClamAV(t *testing.T) {
	const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`
	dir := files(t, map[string]string{
		"db/test.ndb": fmt.Sprintf("Eicar-Test:0:*:%x\n", eicar),
		"clamd.conf":  "Foreground yes\nDatabaseDirectory DIR/db\nLocalSocket DIR/clamd.ctl\nUser root\n",
	})
	runProgram(t, "unix", dir+"/clamd.ctl", "clamd", "-c", dir+"/clamd.conf")
	for infected, says := range map[string]string{
		"Reject\nRejectMsg Infected with %v": "550 5.7.1 Refused by a filter: Infected with Eicar-Test",
		"Quarantine":                         "550 5.7.1 Refused by a filter: quarantined by clamav-milter",
	} {
		at := freePort(t)
		_, port, err := net.SplitHostPort(at)
		if err != nil {
			t.Fatal(err)
		}
		conf := filepath.Join(files(t, map[string]string{
			"clamav-milter.conf": "Foreground yes\nMilterSocket inet:" + port + "@127.0.0.1\nClamdSocket unix:" + dir + "/clamd.ctl\nUser root\n" +
				"AddHeader Replace\nLogInfected Basic\nOnInfected " + infected + "\n",
		}), "clamav-milter.conf")
		runProgram(t, "tcp", at, "clamav-milter", "-c", conf)
		world := newSink(t, nil)
		o := prepare(t, settings{routes: map[string]string{"*": world.address}, relay: []string{"127.0.0.0/8"}})
		o.addConfig(t, fmt.Sprintf("[milters]\nservers = [%q]\n", at))
		o.start(t)
		exchange(t, o, world, []sent{
			{"clean", strings.Repeat("Nothing to be found in here at all.\n", 3000), 0, "250 2.0.0", []string{"X-Virus-Status: Clean", "X-Virus-Scanned: clamav-milter"}},
			{"infected", "Look at this:\n" + eicar + "\n", 26, says, nil},
		})
	}
}
