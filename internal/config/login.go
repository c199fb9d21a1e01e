package config

import "slices"

// Login says how users log in.
type Login struct {
	SCRAM         string // ScramAuto, ScramOn or ScramOff
	SHA1          bool   // SCRAM-SHA-1, too
	Iterations    int    // of SCRAM, for accounts whose first secret is set
	ClearLoopback bool   // PLAIN and LOGIN without TLS from this machine
	External      bool   // ask clients for certificates
	ClientCA      string // PEM: who vouches for them; empty: only fingerprints count
	Hashing       int    // argon2 computations at a time; 0: half of the processors
	Argon2Memory  int64  // octets
	Argon2Passes  int
	Limits        LoginLimits
	Alarm         LoginAlarm
	Guesses       Guesses
	Backends      []Backend // by name, those for every domain last
}

// Values of Login.SCRAM.
const (
	ScramAuto = "auto"
	ScramOn   = "on"
	ScramOff  = "off"
)

// loginSpecs are the keys of the section login.
func loginSpecs() []spec {
	return slices.Concat(loginSecretSpecs(), guessSpecs(), loginLimitSpecs())
}

// loginSecretSpecs are those about secrets and mechanisms.
func loginSecretSpecs() []spec {
	return []spec{
		key("login.scram", `"auto"`, reload, word(ScramAuto, ScramOn, ScramOff),
			func(c *Config) *string { return &c.Login.SCRAM },
			"Whether SCRAM-SHA-256 is offered. A client prefers it where it is, and cannot use it with a password that was set before or imported, until that has been used once with PLAIN; so `auto` offers it once every password is ready, and never beside a backend that checks passwords."),
		key("login.scram_sha1", `false`, reload, boolean(),
			func(c *Config) *bool { return &c.Login.SHA1 },
			"Whether SCRAM-SHA-1 is offered, too, for clients that know nothing better, and keys for it are kept."),
		key("login.scram_iterations", `16384`, reload, count(4096, 1<<20),
			func(c *Config) *int { return &c.Login.Iterations },
			"How much work SCRAM is for a client, and for whoever steals the store; for accounts that are made from now on."),
		key("login.clear_loopback", `false`, reload, boolean(),
			func(c *Config) *bool { return &c.Login.ClearLoopback },
			"Whether programs on this machine may send their password without TLS, by 127.0.0.1 or ::1."),
		key("login.external", `false`, reload, boolean(),
			func(c *Config) *bool { return &c.Login.External },
			"Whether clients are asked for certificates, so that they may log in with them (EXTERNAL)."),
		key("login.client_ca", `(none: only certificates whose fingerprint stands with an account are good)`, reload, path(),
			func(c *Config) *string { return &c.Login.ClientCA },
			"A PEM file with the authorities that vouch for certificates of clients; the certificate names the account as its e-mail address."),
		key("login.hashing", `0`, restart, count(0, 1024),
			func(c *Config) *int { return &c.Login.Hashing },
			"How many main passwords are checked at a time, each in `argon2_memory`; 0 is half of the processors. More of them wait, and hear 454 after ten seconds."),
		key("login.argon2_memory", `"19MiB"`, reload, size("8MiB", "256MiB"),
			func(c *Config) *int64 { return &c.Login.Argon2Memory },
			"Memory of argon2id for main passwords. Hashes that were made with less are made anew at the next login."),
		key("login.argon2_passes", `2`, reload, count(1, 16),
			func(c *Config) *int { return &c.Login.Argon2Passes },
			"Passes of argon2id over that memory; both together at most 1 GiB, more passes are left out."),
	}
}
