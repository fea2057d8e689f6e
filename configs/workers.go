package configs

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxWorkers is how many workers there can be: each has a ring to each other.
const MaxWorkers = 32

// maxCPU is one more than the highest number of a CPU: Linux' NR_CPUS on amd64.
const maxCPU = 8192

// Workers are the threads that move packets.
type Workers struct {
	// Count is how many there are; 0: one for each of CPUs, or one.
	Count int `yaml:"count"`
	// CPUs are those that they run on, one each in this order, as taskset(1)
	// writes them: 2-3,6. Without any, the kernel chooses.
	CPUs string `yaml:"cpus"`
	// WakeLatency is how long CPUs may take to wake while there are packets, in
	// whole microseconds: 0 has idle ones wait awake. Without it the kernel decides.
	WakeLatency *time.Duration `yaml:"wake_latency"`
}

// maxWakeLatency is the longest latency that says something: deeper sleep does not
// take as long to leave.
const maxWakeLatency = time.Second

// Number returns how many workers there are to be.
func (w Workers) Number() int {
	if w.Count > 0 {
		return w.Count
	}
	cpus, err := ParseCPUs(w.CPUs)
	if err != nil {
		return 1
	}
	return max(1, len(cpus))
}

// ParseCPUs reads a list of CPUs such as 2-3,6, as taskset(1) and the kernel's
// files write it. Each may be there once.
func ParseCPUs(text string) (cpus []int, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || last < first || last >= maxCPU {
			return nil, fmt.Errorf("configs: %q where CPUs such as 2-3,6 were expected", part)
		}
		for n := int(first); n <= int(last); n++ {
			if slices.Contains(cpus, n) {
				return nil, fmt.Errorf("configs: CPU %d is given twice", n)
			}
			cpus = append(cpus, n)
		}
	}
	return cpus, nil
}

// onlineCPUs is where the kernel lists the CPUs that it uses
// (Documentation/ABI/stable/sysfs-devices-system-cpu).
const onlineCPUs = "/sys/devices/system/cpu/online"

// workers checks that each worker can have its CPU and its share of what all
// have together.
func (c *checker) workers(cfg *Config) {
	w := cfg.Workers
	if l := w.WakeLatency; l != nil && (*l < 0 || *l > maxWakeLatency || *l%time.Microsecond != 0) {
		c.add("workers.wake_latency", "%v where whole microseconds from 0s to %v were expected", *l, maxWakeLatency)
	}
	cpus, err := ParseCPUs(w.CPUs)
	if err != nil {
		c.add("workers.cpus", "%s", strings.TrimPrefix(err.Error(), "configs: "))
		return
	}
	if w.Count != 0 || len(cpus) == 0 {
		c.between("workers.count", w.Count, 0, MaxWorkers)
	}
	if n := len(cpus); n > MaxWorkers {
		c.add("workers.cpus", "%d CPUs where at most %d were expected", n, MaxWorkers)
	} else if w.Count > 0 && n > 0 && n != w.Count {
		c.add("workers.cpus", "%d CPUs where %d were expected, one for each worker", n, w.Count)
	}
	if len(cpus) == 0 {
		return
	}
	text, err := os.ReadFile(onlineCPUs)
	if err != nil {
		c.add("workers.cpus", "which CPUs there are can't be read: %v", err)
		return
	}
	online, err := ParseCPUs(string(text))
	for _, n := range cpus {
		if err == nil && !slices.Contains(online, n) {
			c.add("workers.cpus", "there is no CPU %d: those of this machine are %s", n, strings.TrimSpace(string(text)))
			return
		}
	}
}
