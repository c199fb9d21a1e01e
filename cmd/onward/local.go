package main

import (
	"context"
	"fmt"
	"os"

	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/onward"
)

// configuration reads the file of --config, or takes the defaults.
func (p *program) configuration() (*config.Config, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("ask for the host name of this machine: %w", err)
	}
	if p.Config != "" {
		return config.ReadFile(p.Config, hostname)
	}
	folder, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the current folder: %w", err)
	}
	return config.Load(config.Source{Name: "the defaults", Directory: folder, Hostname: hostname})
}

// connect reaches the running server, or opens the data folder of a stopped
// one.
func (p *program) connect() (*control.Conn, error) {
	c, err := p.configuration()
	if err != nil {
		return nil, err
	}
	return control.Open(p.ctx, c.Data, func(ctx context.Context) (*control.Service, func() error, error) {
		return onward.OpenLocal(ctx, c, onward.Version(version))
	})
}

// ask carries out one operation.
func ask[Q, R any](p *program, o control.Operation[Q, R], request Q) (R, error) {
	connect := p.connect
	if p.owner != nil {
		connect = p.connectOwner
	}
	c, err := connect()
	if err != nil {
		var none R
		return none, err
	}
	var result R
	if p.owner != nil {
		result, err = o.CallAs(p.ctx, c, p.owner.login, p.owner.password, request)
	} else {
		result, err = o.Call(p.ctx, c, request)
	}
	if closing := c.Close(); err == nil && closing != nil {
		err = closing
	}
	return result, err
}
