package onward

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/config"
)

// secretPolicy says how secrets are kept.
func secretPolicy(c *config.Config) account.SecretPolicy {
	memory := uint32(c.Login.Argon2Memory >> 10)
	return account.SecretPolicy{
		Cost:       account.Cost{Memory: memory, Passes: min(uint32(c.Login.Argon2Passes), account.MaxMemoryPasses/memory), Threads: 1},
		Iterations: c.Login.Iterations, SHA1: c.Login.SHA1,
	}
}

// secrets is secretPolicy as configured now.
func (s *Server) secrets() account.SecretPolicy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secretsOf(s.config)
}

func (s *Server) secretsOf(c *config.Config) account.SecretPolicy {
	p := secretPolicy(c)
	if s.opt.Cost != (account.Cost{}) {
		p.Cost = s.opt.Cost
	}
	return p
}

// loginPolicy says how logins are checked.
func (s *Server) loginPolicy(c *config.Config, backends []account.Backend) (account.Policy, error) {
	cas, err := clientCAs(c.Login.ClientCA)
	if err != nil {
		return account.Policy{}, err
	}
	return account.Policy{
		Secrets: s.secretsOf(c), SCRAM: account.SCRAM(c.Login.SCRAM), ClearLoopback: c.Login.ClearLoopback, ClientCAs: cas, Backends: backends, Log: s.log,
	}, nil
}

// clientCAs reads the authorities that vouch for clients.
func clientCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the authorities for client certificates: %w (login.client_ca)", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the file %s has no certificate in PEM form; login.client_ca names the authorities that vouch for clients", file)
	}
	return pool, nil
}

// guessOptions say from when on guessing at secrets is slowed. Who is no stranger
// elsewhere is none here.
func guessOptions(c *config.Config) account.GuessOptions {
	g := c.Login.Guesses
	return account.GuessOptions{
		Delay: g.Delay, Ban: g.Ban, BanTime: g.BanTime, Exempt: slices.Concat(g.Exempt, c.Limits.Known, c.Relay.Networks),
	}
}

// rememberNetworks tells who counts guesses where logins are at home. Without it
// the server only takes more people for strangers.
func (s *Server) rememberNetworks(ctx context.Context) {
	known, err := s.directory.KnownNetworks(ctx, time.Now(), knownAtStart)
	if err != nil {
		s.log.Warn("it is not known from where people log in usually; somebody whose account is guessed at may have to wait at login", "error", err)
	}
	for _, k := range known {
		s.guesses.Know(k)
	}
}

// knownAtStart is how many networks are remembered: some for each login of which
// guesses are counted.
const knownAtStart = 4 * account.MaxGuessLogins
