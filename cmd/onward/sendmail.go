package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/message"
)

// The exit statuses of sendmail, from sysexits(3).
const (
	sysOK          = 0
	sysUsage       = 64 // EX_USAGE
	sysData        = 65 // EX_DATAERR
	sysNoUser      = 67 // EX_NOUSER
	sysUnavailable = 69 // EX_UNAVAILABLE
	sysSoftware    = 70 // EX_SOFTWARE
	sysTempFail    = 75 // EX_TEMPFAIL
	sysNoPerm      = 77 // EX_NOPERM
	sysConfig      = 78 // EX_CONFIG
)

const sendmailExitHelp = "0 taken by the queue · 64 wrong usage · 65 the message cannot be read ·\n67 a recipient was refused · 69 refused · 70 failed · 75 not now, try again ·\n77 not allowed · 78 the configuration has mistakes"

type sendmailCmd struct {
	Args []string `arg:"" optional:"" name:"option-or-recipient" help:"-t takes recipients from To, Cc and Bcc; -f ADDRESS sets the sender (<> for none), -F NAME its name; -i or -oi: a line with a single dot does not end the message."`
}

func (*sendmailCmd) Help() string {
	return "Takes a message from standard input and puts it into the queue, as the sendmail program does. While no server runs it waits for the next start. Bcc is removed, Date and Message-ID are added where they lack. Under the name sendmail (a link to this program) it does the same. If some recipients are refused, the others get the message, and the status is 67."
}

func (*sendmailCmd) Examples() []string {
	return []string{
		"onward sendmail -t < message.eml",
		"printf 'Subject: hi\\n\\nAll well.\\n' | onward sendmail anna@example.org",
		"ln -s $(command -v onward) /usr/sbin/sendmail",
	}
}

// Run carries out sendmail with its own exit statuses.
func (c *sendmailCmd) Run(p *program, k *kong.Context) error {
	if len(c.Args) == 1 && (c.Args[0] == "--help" || c.Args[0] == "-h") {
		return printHelp(kong.HelpOptions{}, k)
	}
	m, status, err := parseSendmail(c.Args)
	if err == nil {
		if m.config != "" {
			p.Config = m.config
		}
		status, err = m.send(p)
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "sendmail: %s\n", cleanLines(err.Error()))
	}
	return p.ended(status)
}

// submission is one call of sendmail.
type submission struct {
	config     string
	sender     string
	senderSet  bool
	name       string
	fromHeader bool // -t
	dotEnds    bool // a line with a single dot ends the message
	recipients []string
}

// parseSendmail reads the options that programs give to sendmail. Those that
// have no meaning here are accepted and ignored, as long as they only tune.
func parseSendmail(args []string) (*submission, int, error) {
	m := &submission{dotEnds: true}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			m.recipients = append(m.recipients, args[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			m.recipients = append(m.recipients, arg)
			continue
		}
		if strings.HasPrefix(arg, "--config=") {
			m.config = strings.TrimPrefix(arg, "--config=")
			continue
		}
		value := arg[2:]
		if takesValue(arg) && value == "" || arg == "--config" {
			if i+1 == len(args) {
				return nil, sysUsage, fmt.Errorf("%s needs a value after it", arg)
			}
			i++
			value = args[i]
		}
		if err := m.option(arg, value); err != nil {
			return nil, sysUsage, err
		}
	}
	return m, sysOK, nil
}

// takesValue reports whether an option of sendmail has a value, attached or in
// the next argument.
func takesValue(arg string) bool {
	return arg[0] == '-' && strings.IndexByte("fFrBhNORVXLpC", arg[1]) >= 0
}

func (m *submission) option(arg, value string) error {
	switch {
	case arg == "--config":
		m.config = value
	case strings.HasPrefix(arg, "-f"), strings.HasPrefix(arg, "-r"):
		m.sender, m.senderSet = value, true
	case strings.HasPrefix(arg, "-F"):
		m.name = value
	case arg == "-i", arg == "-oi":
		m.dotEnds = false
	case arg == "-t", arg == "-ti", arg == "-it":
		m.fromHeader = true
		if arg != "-t" {
			m.dotEnds = false
		}
	case arg == "-bm", arg == "-v", arg == "-n", arg == "-m", arg == "-G", arg == "-U", strings.HasPrefix(arg, "-o"),
		strings.HasPrefix(arg, "-O"), strings.HasPrefix(arg, "-B"), strings.HasPrefix(arg, "-N"), strings.HasPrefix(arg, "-R"),
		strings.HasPrefix(arg, "-V"), strings.HasPrefix(arg, "-h"), strings.HasPrefix(arg, "-L"), strings.HasPrefix(arg, "-p"),
		strings.HasPrefix(arg, "-X"), strings.HasPrefix(arg, "-C"):
		// They tune another program's delivery; the result is the same.
	case arg == "-bp":
		return errors.New("-bp lists the queue; that is here: onward queue list")
	case arg == "-bs":
		return errors.New("-bs speaks SMTP on standard input; connect to the server's port instead")
	default:
		return fmt.Errorf("%s is not an option that is known here; see onward sendmail --help", arg)
	}
	return nil
}

// send reads the message and submits it.
func (m *submission) send(p *program) (int, error) {
	c, err := p.configuration()
	if err != nil {
		return sysConfig, err
	}
	content := io.Reader(p.stdin)
	if m.dotEnds {
		content = newDotReader(content)
	}
	if content, err = withoutSeparator(content); err != nil {
		return sysData, err
	}
	head, err := readHead(content)
	if err != nil {
		return sysData, err
	}
	envelope, err := m.envelope(c, head)
	if err != nil {
		return sysData, err
	}
	if len(envelope.Recipients) == 0 {
		return sysUsage, errors.New("there are no recipients; name them, or use -t to take them from To, Cc and Bcc")
	}
	conn, err := p.connectLocal(c)
	if err != nil {
		return sysOf(err), err
	}
	defer conn.Close()
	whole := io.MultiReader(strings.NewReader(m.missing(head, envelope)), bytes.NewReader(head.text), content)
	done, err := conn.Submit(p.ctx, envelope, whole)
	if err != nil {
		return sysOf(err), err
	}
	if len(done.Refused) > 0 {
		var why []string
		for _, r := range done.Refused {
			why = append(why, fmt.Sprintf("%s was refused: %s", r.Address, r.Reply))
		}
		if len(done.Accepted) > 0 {
			why = append(why, "the others get the message: "+join(done.Accepted))
		}
		return sysNoUser, errors.New(strings.Join(why, "\n"))
	}
	return sysOK, nil
}

// connectLocal reaches the server as an administrator, or by the socket that is
// open to every user of this machine.
func (p *program) connectLocal(c *config.Config) (*control.Conn, error) {
	if c.Listen.Sendmail != "" && os.Geteuid() != 0 {
		if conn, err := control.DialAll(c.Listen.Sendmail); err == nil {
			return conn, nil
		}
	}
	conn, err := p.connect(true)
	if err != nil && c.Listen.Sendmail == "" && control.KindOf(err) == control.Refused {
		err = fmt.Errorf("%w; the administrator can open a socket for all users with the key listen.sendmail", err)
	}
	return conn, err
}

func sysOf(err error) int {
	switch control.KindOf(err) {
	case control.Invalid:
		return sysData
	case control.Unavailable:
		return sysTempFail
	case control.Refused:
		if strings.Contains(err.Error(), "may not manage") {
			return sysNoPerm
		}
		return sysUnavailable
	case control.NotFound, control.Exists, control.InUse:
		return sysUnavailable
	case control.Failed:
	}
	return sysSoftware
}

// head is the beginning of a message: its header section, or what was read
// until it was clear that there is none.
type head struct {
	text   []byte // what has been read, header section first
	header message.Header
	size   int // of the header section in text; 0: there is none
}

// withoutSeparator takes away the «From …» line of an mbox file that is piped in
// whole (rfc4155#2).
func withoutSeparator(content io.Reader) (io.Reader, error) {
	r := bufio.NewReader(content)
	if start, _ := r.Peek(len("From ")); string(start) != "From " {
		return r, nil // an error comes again with the next Read
	}
	for {
		if _, err := r.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return r, err
		}
	}
}

// readHead reads until the header section is complete.
func readHead(content io.Reader) (*head, error) {
	h := &head{}
	buffer := make([]byte, 32<<10)
	scan := message.NewHeaderScanner(message.DefaultHeaderLimit)
	for !scan.Ended() {
		n, err := content.Read(buffer)
		h.text = append(h.text, buffer[:n]...)
		if _, scanErr := scan.Write(buffer[:n]); scanErr != nil {
			return nil, fmt.Errorf("read the header section: %w", scanErr)
		}
		if scan.TooLarge() {
			return nil, fmt.Errorf("the header section is larger than %d octets", message.DefaultHeaderLimit)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the message from standard input: %w", err)
		}
	}
	header, err := scan.Header()
	if err != nil {
		return nil, fmt.Errorf("read the header section: %w", err)
	}
	h.header, h.size = header, header.Size()
	return h, nil
}

// envelope is the sender and the recipients. Names without a domain get our
// host name.
func (m *submission) envelope(c *config.Config, h *head) (control.Envelope, error) {
	host, err := address.ParseDomain(c.Hostname)
	if err != nil {
		return control.Envelope{}, fmt.Errorf("the host name: %w", err)
	}
	var e control.Envelope
	switch sender := strings.Trim(m.sender, "<> "); {
	case m.senderSet && sender == "":
	case m.senderSet:
		e.From = withDomain(sender, host)
	default:
		e.From = withDomain(userName(), host)
	}
	for _, text := range m.recipients {
		list, err := message.ParseAddressList(text, host)
		if err != nil {
			return e, err
		}
		for _, a := range list {
			e.Recipients = append(e.Recipients, a.String())
		}
	}
	if m.fromHeader {
		list, err := h.header.Recipients(host)
		if err != nil {
			return e, err
		}
		for _, a := range list {
			e.Recipients = append(e.Recipients, a.String())
		}
	}
	return e, nil
}

func withDomain(name string, host address.Domain) string {
	if strings.Contains(name, "@") {
		return name
	}
	return name + "@" + host.String()
}

func userName() string {
	u, err := user.Current()
	if err != nil || u.Username == "" {
		return "postmaster"
	}
	return u.Username
}

// missing is what goes before the message: a From field if it has none
// (rfc5322#3.6), and the line that ends the header section if it has no header
// section at all.
func (m *submission) missing(h *head, e control.Envelope) string {
	var b strings.Builder
	if !h.header.Has("From") {
		from, err := address.ParseMailbox(e.From)
		if err == nil {
			b.WriteString(message.Fold("From", message.FormatAddress(m.name, from)))
		}
	}
	if h.size == 0 && !bytes.HasPrefix(h.text, []byte("\n")) && !bytes.HasPrefix(h.text, []byte("\r\n")) {
		b.WriteString("\r\n")
	}
	return b.String()
}
