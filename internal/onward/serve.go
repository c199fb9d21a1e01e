package onward

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/onwardmail/onward/internal/config"
)

// drainTime is how long a stopping server waits for what is under way.
const drainTime = 30 * time.Second

// ServeOptions are what the command line knows.
type ServeOptions struct {
	Config *config.Config
	// Path is the configuration file, "" for none.
	Path    string
	Reread  func() (*config.Config, error)
	Version Version
	// Out gets what a person reads at start, Err the log.
	Out, Err io.Writer
}

// Serve runs a server until ctx ends or SIGTERM or SIGINT arrives, and drains
// it. SIGHUP reloads.
func Serve(ctx context.Context, o ServeOptions) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	var level slog.LevelVar
	level.Set(logLevel(o.Config.Log.Level))
	logger := newLogger(&level, o.Config.Log.Format, o.Err)
	s, err := New(ctx, Options{Config: o.Config, Reread: o.Reread, Logger: logger, Level: &level, Version: o.Version})
	if err != nil {
		return err
	}
	s.Start()
	s.announce(o)
	for {
		select {
		case <-ctx.Done():
			return s.drain(logger, signals)
		case err := <-s.Failed():
			logger.Error("the server stops", "error", err)
			s.drain(logger, signals) //nolint:errcheck // the first error is the one to tell
			return err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				logger.Info("stopping; open transactions and deliveries may end", "signal", sig.String(), "at_most", drainTime.String())
				return s.drain(logger, signals)
			}
			if err := s.Reload(); err != nil {
				logger.Error("reload", "error", err)
			}
		}
	}
}

// drain shuts down in order; a second signal ends the waiting.
func (s *Server) drain(logger *slog.Logger, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					cancel()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := s.Shutdown(ctx); err != nil {
		logger.Warn("not all had ended in time; what is left stays in the queue", "error", err)
	}
	logger.Info("stopped")
	return nil
}

// logLevel reads debug, info, warn or error.
func logLevel(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return l
}

// newLogger writes the log in the format of the configuration: text or json.
func newLogger(level slog.Leveler, format string, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// announce tells a person what is running and, at the first start, what to do
// next.
func (s *Server) announce(o ServeOptions) {
	c := o.Config
	var b strings.Builder
	fmt.Fprintf(&b, "Onward is running as %s.\n\n", c.Hostname)
	for _, line := range []struct{ service, what string }{
		{serviceMX, "mail from other servers"},
		{serviceSubmission, "mail from users (STARTTLS, login)"},
		{serviceSubmissions, "mail from users (TLS, login)"},
		{serviceWeb, "what each reply means"},
	} {
		addrs := s.Addrs(line.service)
		if len(addrs) == 0 {
			continue
		}
		fmt.Fprintf(&b, "  %-12s %-34s %s\n", line.service, line.what, joinAddrs(c, line.service, addrs))
	}
	fmt.Fprintf(&b, "  %-12s %s\n", "data", c.Data)
	if r := s.Recovered; r.Waiting+r.Released > 0 {
		fmt.Fprintf(&b, "\n%d recipients wait in the queue; %d of them were under way when the last run ended and may go twice.\n", r.Waiting+r.Released, r.Released)
	}
	if s.First {
		config := ""
		if o.Path != "" {
			config = " --config " + o.Path
		}
		fmt.Fprintf(&b, `
This is the first start: there are no domains yet, so all mail is refused. Next, in another terminal:

  onward%[1]s domain add example.org
  onward%[1]s address add anna@example.org --forward anna@example.net --disclose announce
  onward%[1]s account add anna@example.org --password-stdin
`, config)
		if c.TLS.Certificate == "" {
			b.WriteString("\nThe certificate is self-signed. Before users log in from outside, set tls.certificate and tls.key.\n")
		}
	}
	b.WriteString("\n")
	io.WriteString(o.Out, b.String()) //nolint:errcheck // nobody to tell
}

func joinAddrs(c *config.Config, service string, addrs []net.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
		if service == serviceWeb {
			texts[i] = webURL(c, a)
		}
	}
	return strings.Join(texts, ", ")
}
