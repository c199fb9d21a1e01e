package main

import (
	"fmt"
	"runtime"
	"sort"
	"strconv"

	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/onward"
)

type statusCmd struct{}

func (*statusCmd) Help() string {
	return "Ends with 0 if the server runs and is well, with 5 if no server runs, with 1 if it accepts nothing any more."
}

func (*statusCmd) Examples() []string { return []string{"onward status", "onward status --json"} }

func (*statusCmd) Run(p *program) error {
	s, err := ask(p, control.GetStatus, control.Nothing{})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(s)
	} else {
		p.status(s)
	}
	switch {
	case !s.Running:
		return p.ended(exitUnavailable)
	case s.Stopped != "":
		return p.ended(exitFailed)
	}
	return nil
}

func (p *program) status(s control.Status) {
	f := &fields{}
	switch {
	case !s.Running:
		f.add("server", cell{"not running; start it with: onward serve", inkRed})
	case s.Stopped != "":
		f.add("server", cell{"accepts nothing: " + s.Stopped, inkRed})
	default:
		f.add("server", cell{fmt.Sprintf("running as %s, pid %d, since %s", s.Hostname, s.PID, moment(s.Started, false)), inkGreen})
	}
	f.add("version", plain(s.Version))
	f.add("data", plain(s.Data))
	for i, l := range s.Listeners {
		name := ""
		if i == 0 {
			name = "listens"
		}
		f.add(name, plain(l.Address+" "+l.Service))
	}
	if s.Running {
		f.add("connections", plain(strconv.Itoa(s.Connections)))
	}
	f.add("queue", plain(counts(s.Queue)))
	p.out.fields(f)
}

func counts(by map[string]int) string {
	var parts []string
	for state, n := range by {
		parts = append(parts, strconv.Itoa(n)+" "+state)
	}
	if len(parts) == 0 {
		return "empty"
	}
	sort.Strings(parts)
	return join(parts)
}

type reloadCmd struct{}

func (*reloadCmd) Help() string {
	return "A configuration with mistakes is refused and the old one stays in force; sessions go on."
}

func (*reloadCmd) Examples() []string {
	return []string{"onward check-config && onward reload"}
}

func (*reloadCmd) Run(p *program) error {
	c, err := p.configuration()
	if err != nil {
		return err
	}
	server, err := control.Dial(c.Data)
	if err != nil {
		return err
	}
	defer server.Close()
	done, err := control.Reload.Call(p.ctx, server, control.Nothing{})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(done)
		return nil
	}
	p.out.say("The configuration is read again. What changed and needs a restart is in the server's log.")
	return nil
}

type checkConfigCmd struct{}

func (*checkConfigCmd) Help() string {
	return "Every mistake is shown with its line; nothing is changed. Without mistakes the values in force are listed, those of the file marked with their lines."
}

func (*checkConfigCmd) Examples() []string {
	return []string{"onward check-config --config onward.toml"}
}

func (*checkConfigCmd) Run(p *program) error {
	c, err := p.configuration()
	if err != nil {
		return err
	}
	if err := onward.CheckBackends(c, p.Config); err != nil {
		return err
	}
	if p.JSON {
		for _, s := range c.Settings() {
			p.out.object(settingJSON(s))
		}
		return nil
	}
	t := newTable("KEY", "LINE", "VALUE")
	for _, s := range c.Settings() {
		line := ""
		if s.Line > 0 {
			line = strconv.Itoa(s.Line)
		}
		t.add(plain(s.Key), plain(line), plain(s.Value))
	}
	p.out.table(t, "")
	name := p.Config
	if name == "" {
		name = "The default configuration"
	}
	p.out.say("%s is good.", name)
	return nil
}

// settingOut is a config.Setting as programs get it.
type settingOut struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Line  int    `json:"line"` // 0: by default
}

func settingJSON(s config.Setting) settingOut { return settingOut(s) }

type versionCmd struct{}

func (*versionCmd) Examples() []string { return []string{"onward version", "onward version --json"} }

func (*versionCmd) Run(p *program) error {
	if p.JSON {
		p.out.object(map[string]string{"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
		return nil
	}
	p.out.say("onward %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
