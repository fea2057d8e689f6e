package control

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/graph"
)

// A Thread is a worker as it is shown.
type Thread struct {
	TID    int // the kernel's number of it
	CPU    int // that it runs on, as of now
	Pinned bool
	Node   int // NUMA node of CPU
	Load   graph.Load
	Since  time.Duration // how long Load has been counted
	Queues []Placement   // that it receives from
}

// A Placement is a queue of an interface.
type Placement struct {
	Interface, Driver string
	Queue             int
}

// Threads returns the workers.
func (c *Control) Threads(ctx context.Context) ([]Thread, error) {
	cpus, err := configs.ParseCPUs(c.cfg.Workers.CPUs)
	if err != nil {
		return nil, err
	}
	all := make([]Thread, len(c.workers.All()))
	err = c.doAll(ctx, func(w *graph.Worker) error {
		t := &all[w.ID()]
		t.TID, t.Pinned, t.Load = unix.Gettid(), len(cpus) > 0, w.Load()
		t.Since = time.Duration(w.Now - t.Load.Since)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].CPU, err = cpuOf(all[i].TID); err != nil {
			return nil, err
		}
		all[i].Node = numaNode(all[i].CPU)
	}
	c.place(all)
	return all, nil
}

// place adds the queues that each worker serves.
func (c *Control) place(all []Thread) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.ports {
		if p == nil {
			continue
		}
		for q := range p.device.Queues() {
			t := &all[p.placed[q]]
			t.Queues = append(t.Queues, Placement{p.Name, p.device.Info().Driver, q})
		}
	}
	for i := range all {
		slices.SortStableFunc(all[i].Queues, func(a, b Placement) int { return strings.Compare(a.Interface, b.Interface) })
	}
}

// processorField is which field of a thread's stat file says which CPU it last
// ran on, counted after the name, which is in parentheses (proc_pid_stat(5)).
const processorField = 39 - 3

// cpuOf returns which CPU a thread of this process was last on.
func cpuOf(tid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", tid))
	if err != nil {
		return 0, fmt.Errorf("control: thread of a worker: %w", err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) <= processorField {
		return 0, fmt.Errorf("control: thread of a worker: %d fields after its name", len(fields))
	}
	return strconv.Atoi(fields[processorField])
}

// numaNode returns the node of a CPU, 0 where the kernel knows of none.
func numaNode(cpu int) int {
	found, _ := filepath.Glob("/sys/devices/system/cpu/cpu" + strconv.Itoa(cpu) + "/node[0-9]*") // the pattern is sound
	for _, path := range found {
		if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), "node")); err == nil {
			return n
		}
	}
	return 0
}
