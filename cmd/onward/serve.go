package main

import (
	"github.com/onwardmail/onward/internal/onward"
)

type serveCmd struct{}

func (*serveCmd) Help() string {
	return "Without a configuration it runs on loopback: 2525 takes mail, 2587 and 2465 take submissions, 8080 explains; the data is in ./onward-data. SIGTERM drains and ends, SIGHUP reloads."
}

func (*serveCmd) Examples() []string {
	return []string{"onward serve", "onward serve --config /etc/onward/onward.toml"}
}

func (*serveCmd) Run(p *program) error {
	c, err := p.configuration()
	if err != nil {
		return err
	}
	o := onward.ServeOptions{Config: c, Path: p.Config, Out: p.out.direct, Err: p.stderr, Version: onward.Version(version)}
	if p.Config != "" {
		o.Reread = p.configuration
	}
	return onward.Serve(p.ctx, o)
}
