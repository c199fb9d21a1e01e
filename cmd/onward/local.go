package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
// one. Only what makes the first thing there may make the folder: in the wrong
// place an empty one would answer that nothing is known, or that a password is wrong.
func (p *program) connect(mayMake bool) (*control.Conn, error) {
	c, err := p.configuration()
	if err != nil {
		return nil, err
	}
	return control.Open(p.ctx, c.Data, func(ctx context.Context) (*control.Service, func() error, error) {
		if _, err := os.Stat(c.Data); !mayMake && errors.Is(err, fs.ErrNotExist) {
			how := "name its configuration with --config or in ONWARD_CONFIG"
			if p.owner != nil {
				how += ", or its socket with --socket or in ONWARD_ACCOUNTS"
			}
			return nil, nil, &control.Error{Kind: control.Unavailable, Message: fmt.Sprintf("there is no server here, and no data in %s; %s", c.Data, how)}
		}
		return onward.OpenLocal(ctx, c, onward.Version(version))
	})
}

// makesFirst reports whether an operation may be the first on a data folder. To
// ask a login backend needs no data, and comes before the first start.
func makesFirst(operation string) bool {
	switch operation {
	case control.AddDomain.Name, control.PutAddress.Name, control.AddAccount.Name, control.CheckBackend.Name:
		return true
	}
	return false
}

// ask carries out one operation.
func ask[Q, R any](p *program, o control.Operation[Q, R], request Q) (R, error) {
	var result R
	connect := func() (*control.Conn, error) { return p.connect(makesFirst(o.Name)) }
	if p.owner != nil {
		connect = p.connectOwner
	}
	c, err := connect()
	if err != nil {
		return result, err
	}
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
