package config

import (
	"net/netip"
	"time"
)

// Guesses says how many wrong secrets are too many. Networks here are an IPv4 address or an IPv6 /64; the /24 or /48
// around it is judged at three times the numbers.
type Guesses struct {
	Delay   int           // different wrong secrets after which each further one waits; 0: never
	Ban     int           // after which the network is refused; 0: never
	BanTime time.Duration // of the first ban; each further one is twice as long, up to a day
	Exempt  []netip.Prefix
}

// MaxGuessDelay is the largest login.guesses.delay: no more secrets of a network are remembered.
const MaxGuessDelay = 64

// guessSpecs are the keys about those who guess at secrets.
func guessSpecs() []spec {
	networks := list(network(), "list of networks", "IP addresses and networks", 0, maxElements)
	return []spec{
		key("login.guesses.delay", `5`, reload, count(0, MaxGuessDelay),
			func(c *Config) *int { return &c.Login.Guesses.Delay },
			"Different wrong secrets (or logins) of one network, or secrets for one login by strangers, after which each further one waits before it is looked at: 1 second, then 2, up to 15; 0: never. The numbers halve each hour, and the same secret again does not count."),
		key("login.guesses.ban", `20`, reload, count(0, 10_000),
			func(c *Config) *int { return &c.Login.Guesses.Ban },
			"The number after which the network is refused; if it is not more than `guesses.delay`, then one more than that; 0: never. See `onward ban list`."),
		key("login.guesses.ban_time", `"15m"`, reload, duration("1s", "1d"),
			func(c *Config) *time.Duration { return &c.Login.Guesses.BanTime },
			"How long the first time; each further one is twice as long, up to a day."),
		key("login.guesses.exempt", `[]`, reload, networks,
			func(c *Config) *[]netip.Prefix { return &c.Login.Guesses.Exempt },
			"Networks that are never delayed or refused, such as a webmail of one's own that logs in for many people."),
	}
}
