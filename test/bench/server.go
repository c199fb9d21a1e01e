package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/onwardmail/onward/test/postfix"
)

// A server is what is measured: a tree of processes under one root.
type server struct {
	root func() (int, error) // process id of the root
	stop func()
}

// cpu is the processor time of the server's processes so far, those that have ended among it.
func (s server) cpu() (time.Duration, error) {
	root, err := s.root()
	if err != nil {
		return 0, err
	}
	return treeTime(root)
}

func startPostfix(ctx context.Context, dir, address, sink string) (server, error) {
	p, err := postfix.Start(ctx, dir, address, postfix.Options{Main: map[string]string{
		"relayhost":                          "[127.0.0.1]" + sink[len("127.0.0.1"):],
		"disable_dns_lookups":                "yes",
		"default_process_limit":              "250",
		"smtp_destination_concurrency_limit": "50",
		"in_flow_delay":                      "0",
	}})
	if err != nil {
		return server{}, err
	}
	return server{root: p.Master, stop: func() {
		if err := p.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}}, nil
}

func startOnward(ctx context.Context, binary, dir, address, sink string) (server, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return server{}, err
	}
	config := filepath.Join(dir, "onward.toml")
	text := fmt.Sprintf(`hostname = "mx.example.org"
data = %q
[listen]
mx = [%q]
submission = []
submissions = []
web = []
[relay]
networks = ["127.0.0.0/8"]
[routes]
"*" = %q
`, filepath.Join(dir, "data"), address, sink)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return server{}, err
	}
	log, err := os.Create(filepath.Join(dir, "serve.log"))
	if err != nil {
		return server{}, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, binary, "serve", "--config", config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return server{}, fmt.Errorf("start onward: %w", err)
	}
	s := server{
		root: func() (int, error) { return cmd.Process.Pid, nil },
		stop: func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				fmt.Fprintln(os.Stderr, "bench: onward ended:", err)
			}
		},
	}
	if err := until(ctx, 20*time.Second, "onward does not answer on "+address, func() bool { return answers(ctx, address) }); err != nil {
		s.stop()
		said, _ := os.ReadFile(log.Name())
		return server{}, fmt.Errorf("%w: %s", err, said)
	}
	return s, nil
}
