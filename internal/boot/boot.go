// Package boot answers one question: how does a service behave under a systemd
// that runs as process 1?
//
// A Machine is a real systemd in namespaces of its own, on the machine's
// programs and a root file system that is gone with it. Its network is a
// namespace of a lab. The machine's own systemd, units and cgroups, if it has
// any, see nothing but one more cgroup. For tests; it needs root and a kernel
// with cgroup2. Maturity: tested with systemd 252.
package boot

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

//go:embed boot.sh
var script string

// A Machine is one that has booted.
type Machine struct {
	ns      *lab.Namespace
	process *lab.Process // unshare, the parent of process 1
	pid     int          // of its process 1, as the outside has it
	dir     string
	cgroup  string
}

// Target is the unit that a machine boots.
const Target = "boot.target"

// Start boots a machine in a network namespace. files are its own files, units
// among them, by path; those that begin with "#!" are executable. Target, if
// not among them, needs nothing.
func Start(ctx context.Context, ns *lab.Namespace, files map[string]string) (m *Machine, err error) {
	m = &Machine{ns: ns}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	if m.dir, err = os.MkdirTemp("", "skein-boot-"); err != nil {
		return m, fmt.Errorf("boot: %w", err)
	}
	if err := m.prepare(files); err != nil {
		return m, err
	}
	if m.cgroup, err = newCgroup(); err != nil {
		return m, err
	}
	// The shell joins the cgroup before its namespace is made, so that it is
	// the root of the machine's.
	m.process, err = ns.Start(context.Background(), "sh", "-c", "echo $$ >"+m.cgroup+"/cgroup.procs && exec unshare --pid --mount --uts --ipc --cgroup"+
		" --fork --kill-child=KILL --propagation unchanged sh "+filepath.Join(m.dir, "boot.sh")+" "+filepath.Join(m.dir, "root")+" "+filepath.Join(m.dir, "files")+" "+Target)
	if err != nil {
		return m, fmt.Errorf("boot: %w", err)
	}
	return m, m.await(ctx)
}

// prepare writes down what the script needs.
func (m *Machine) prepare(files map[string]string) error {
	all := map[string]string{"etc/systemd/system/" + Target: "[Unit]\nDescription=A machine of a test\nRequires=basic.target\nAfter=basic.target\n"}
	for path, text := range files {
		all[strings.TrimPrefix(path, "/")] = text
	}
	if err := os.Mkdir(filepath.Join(m.dir, "root"), 0o755); err != nil {
		return fmt.Errorf("boot: %w", err)
	}
	err := os.WriteFile(filepath.Join(m.dir, "boot.sh"), []byte(script), 0o600)
	for path, text := range all {
		err = errors.Join(err, writeFile(filepath.Join(m.dir, "files", path), text))
	}
	if err != nil {
		return fmt.Errorf("boot: %w", err)
	}
	return nil
}

func writeFile(path, text string) error {
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), mode)
}

// newCgroup makes a cgroup below that of this process, where it has a cgroup2.
func newCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", fmt.Errorf("boot: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("boot: %w", err)
	}
	root, below := "", ""
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" && root == "" {
			root = f[1]
		}
	}
	for line := range strings.Lines(string(own)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			below = path
		}
	}
	if root == "" {
		return "", errors.New("boot: no cgroup2 is mounted: mount -t cgroup2 none /sys/fs/cgroup")
	}
	path := filepath.Join(root, below, lab.Unique("skeinboot"))
	if err := os.Mkdir(path, 0o755); err != nil {
		return "", fmt.Errorf("boot: a cgroup for the machine: %w", err)
	}
	return path, nil
}

// await waits until the machine has booted.
func (m *Machine) await(ctx context.Context) error {
	for {
		if m.pid == 0 {
			m.pid = child(m.process.PID())
		}
		if m.pid > 0 {
			out, err := m.Exec(ctx, "systemctl", "is-active", Target)
			if err == nil && strings.TrimSpace(string(out)) == "active" {
				return nil
			}
		}
		select {
		case <-m.process.Done():
			return fmt.Errorf("boot: the machine is down: %w\n%s", m.process.Wait(), m.Log())
		case <-ctx.Done():
			return fmt.Errorf("boot: it has not come up: %w\n%s", ctx.Err(), m.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// child returns the first child of a process, or 0.
func child(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // ended: no children
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	n, _ := strconv.Atoi(first)
	return n
}

// Exec runs a command in the machine, and returns what it prints.
func (m *Machine) Exec(ctx context.Context, name string, args ...string) ([]byte, error) {
	return m.ns.Exec(ctx, "nsenter", append([]string{"-t", strconv.Itoa(m.pid), "-m", "-p", "-u", "-i", "-C", "--", name}, args...)...)
}

// Path returns where the outside finds a file of the machine.
func (m *Machine) Path(file string) string { return fmt.Sprintf("/proc/%d/root%s", m.pid, file) }

// Show returns a property of a unit (systemctl show).
func (m *Machine) Show(ctx context.Context, unit, property string) (string, error) {
	out, err := m.Exec(ctx, "systemctl", "show", "--value", "--property", property, unit)
	return strings.TrimSpace(string(out)), err
}

// Log returns the machine's journal, and what its systemd has said before it
// had one.
func (m *Machine) Log() string {
	if m.process == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := m.Exec(ctx, "journalctl", "--no-pager", "--output=short-monotonic", "--quiet")
	if err != nil {
		out = fmt.Append(out, err)
	}
	return m.process.Output() + string(out)
}

// Close switches the machine off, and removes what is left of it.
func (m *Machine) Close() error {
	var failed []error
	if m.process != nil {
		_ = m.process.Stop() // it is killed, and says so
	}
	if m.cgroup != "" {
		failed = append(failed, removeCgroup(m.cgroup))
	}
	if m.dir != "" {
		failed = append(failed, os.RemoveAll(m.dir))
	}
	return errors.Join(failed...)
}

// removeCgroup removes a cgroup and those below it, once their processes are
// gone.
func removeCgroup(path string) error {
	var err error
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = removeTree(path); err == nil {
			return nil
		}
	}
	return fmt.Errorf("boot: %w", err)
}

func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(path) // rmdir: the files in it are the kernel's
}
