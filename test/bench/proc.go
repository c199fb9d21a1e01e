package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// A process is what /proc says of one.
type process struct {
	pid, parent int
	time        time.Duration // its own, and that of children it has waited for
}

// processes reads all of them. One that ends meanwhile is left out.
func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		// The name, in parentheses, may contain blanks; the third field follows it.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		const parent, utime, stime, cutime, cstime = 1, 11, 12, 13, 14
		if len(fields) <= cstime {
			return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
		}
		p := process{pid: pid}
		if p.parent, err = strconv.Atoi(fields[parent]); err != nil {
			return nil, err
		}
		for _, i := range []int{utime, stime, cutime, cstime} {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return nil, err
			}
			p.time += time.Duration(n) * tick
		}
		all = append(all, p)
	}
	return all, nil
}

// tree returns a process and all that descend from it.
func tree(root int) ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	ours := map[int]bool{root: true}
	var members []process
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !ours[p.pid] && ours[p.parent] {
				ours[p.pid], grown = true, true
			}
		}
	}
	for _, p := range all {
		if ours[p.pid] {
			members = append(members, p)
		}
	}
	if len(members) == 0 {
		return nil, fmt.Errorf("process %d is gone", root)
	}
	return members, nil
}

func treeTime(root int) (time.Duration, error) {
	members, err := tree(root)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, p := range members {
		sum += p.time
	}
	return sum, nil
}

// treeMemory is the proportional set size of a tree of processes, or the peak of a single one, in bytes.
func treeMemory(root int) (int64, error) {
	members, err := tree(root)
	if err != nil {
		return 0, err
	}
	if len(members) == 1 {
		return kilobytes(root, "status", "VmHWM:")
	}
	var sum int64
	for _, p := range members {
		n, err := kilobytes(p.pid, "smaps_rollup", "Pss:")
		if err == nil { // one that has just ended holds nothing
			sum += n
		}
	}
	return sum, nil
}

// kilobytes reads a line such as "Pss:  12 kB" of a file of a process, and returns bytes.
func kilobytes(pid int, file, key string) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[0] == key {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s has no %s", pid, file, key)
}

// A watch takes the memory of a server twice a second and at the end, and keeps the most.
type watch struct {
	stop func()
	done chan struct{}
	peak int64
}

func watchMemory(s server) *watch {
	halt := make(chan struct{})
	w := &watch{stop: sync.OnceFunc(func() { close(halt) }), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		look := time.NewTicker(500 * time.Millisecond)
		defer look.Stop()
		for last := false; ; {
			if root, err := s.root(); err == nil {
				if n, err := treeMemory(root); err == nil {
					w.peak = max(w.peak, n)
				}
			}
			if last {
				return
			}
			select {
			case <-look.C:
			case <-halt:
				last = true
			}
		}
	}()
	return w
}

// end stops watching and returns the most memory seen, in bytes.
func (w *watch) end() int64 {
	w.stop()
	<-w.done
	return w.peak
}
