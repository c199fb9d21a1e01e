package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/onwardmail/onward/internal/demo"
	"github.com/onwardmail/onward/internal/reference"
)

type demoCmd struct {
	Keep bool `help:"Leave the server running at the end, and print how to talk to it."`
}

func (*demoCmd) Help() string {
	return "Starts a real server and a stand-in for the rest of the world on free loopback ports, sends mail through them and explains every reply. Nothing is installed; the data is in a temporary folder."
}

func (*demoCmd) Examples() []string {
	return []string{"onward demo", "onward demo --keep", "onward demo --lang ja"}
}

func (c *demoCmd) Run(p *program) error {
	ctx, stop := signal.NotifyContext(p.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return demo.Run(ctx, demo.Options{
		Out: p.out.direct, Keep: c.Keep, Lang: reference.Match(p.language()), Color: p.out.colour, Width: p.out.width,
	})
}
