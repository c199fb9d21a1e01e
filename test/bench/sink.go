package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"
)

// A sink is a running smtp-sink, which prints how many messages it has taken.
type sink struct {
	address string
	command *exec.Cmd
	taken   atomic.Int64
	read    chan struct{} // closed when its output has ended
}

func startSink(ctx context.Context) (*sink, error) {
	address, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	s := &sink{address: address, read: make(chan struct{})}
	s.command = exec.CommandContext(ctx, "smtp-sink", "-u", "postfix", "-c", address, "1000")
	out, err := s.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("start smtp-sink: %w", err)
	}
	go func() {
		defer close(s.read)
		count := regexp.MustCompile(`mesg=(\d+)`)
		lines := bufio.NewScanner(out)
		lines.Split(counters)
		for lines.Scan() {
			if m := count.FindSubmatch(lines.Bytes()); m != nil {
				if n, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
					s.taken.Store(n)
				}
			}
		}
	}()
	return s, until(ctx, 10*time.Second, "smtp-sink does not answer", func() bool { return answers(ctx, address) })
}

// counters splits at the carriage returns with which smtp-sink overwrites its line.
func counters(data []byte, atEOF bool) (int, []byte, error) {
	for i, b := range data {
		if b == '\r' || b == '\n' {
			return i + 1, data[:i], nil
		}
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// wait returns when so many messages have been taken; it gives up when nothing has come for a minute.
func (s *sink) wait(ctx context.Context, messages int) error {
	last, since := s.taken.Load(), time.Now()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		n := s.taken.Load()
		switch {
		case n >= int64(messages):
			return nil
		case n != last:
			last, since = n, time.Now()
		case time.Since(since) > time.Minute:
			return fmt.Errorf("smtp-sink has %d of %d messages and nothing has come for a minute", n, messages)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *sink) stop() {
	_ = s.command.Process.Kill()
	<-s.read
	_ = s.command.Wait()
}

// answers tells whether an SMTP server greets at the address.
func answers(ctx context.Context, address string) bool {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Fprint(conn, "QUIT\r\n")
	return err == nil && len(line) > 3 && line[:3] == "220"
}

// until waits for a condition of another process, which sends no event.
func until(ctx context.Context, limit time.Duration, otherwise string, condition func() bool) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-deadline.C:
			return fmt.Errorf("%s within %v", otherwise, limit)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
