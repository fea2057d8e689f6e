package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// command returns a command that, started inside Do or by Start, runs in the
// namespace. It leads a process group, which is killed when ctx ends.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // grandchildren may hold the output open
	return cmd
}

// Exec runs a command in the namespace and returns its standard output. The
// error holds what it wrote to standard error. When ctx ends, the command's
// process group is killed.
func (n *Namespace) Exec(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := command(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	// A child is made in the namespaces of the thread that forks it.
	if err := n.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("lab: %s in %s: %w", name, n, err)
	}
	if err := cmd.Wait(); err != nil {
		return out.Bytes(), fmt.Errorf("lab: %s in %s: %w: %s", name, n, err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// A Process is a command that runs in a namespace until it ends or is stopped.
type Process struct {
	cmd  *exec.Cmd
	out  lockedBuffer
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// Start starts a command in the namespace. It is stopped when the lab closes
// or ctx ends, whichever comes first.
func (n *Namespace) Start(ctx context.Context, name string, args ...string) (*Process, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &Process{cmd: command(ctx, name, args...), stop: cancel, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := n.Do(p.cmd.Start); err != nil {
		cancel()
		return nil, fmt.Errorf("lab: %s in %s: %w", name, n, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	n.mu.Lock()
	n.procs = append(n.procs, p)
	n.mu.Unlock()
	return p, nil
}

// PID returns the process's number, which is its group's as well.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process, and not to its group.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// Output returns what the process has written so far, both streams in one.
func (p *Process) Output() string { return p.out.String() }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end and returns the error of exec.Cmd.Wait.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Stop kills the process group, waits for its leader and returns the error of
// exec.Cmd.Wait.
func (p *Process) Stop() error {
	p.stop()
	return p.Wait()
}

// A lockedBuffer is a bytes.Buffer that may be read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Sysctl sets a kernel parameter of the namespace, named as sysctl(8) does:
// "net.ipv4.ip_forward". A name with a dot in it is written with slashes.
func (n *Namespace) Sysctl(key, value string) error {
	return n.Do(func() error {
		if err := os.WriteFile(sysctlPath(key), []byte(value), 0o644); err != nil {
			return fmt.Errorf("lab: sysctl %s=%s in %s: %w", key, value, n, err)
		}
		return nil
	})
}

// GetSysctl reads a kernel parameter of the namespace.
func (n *Namespace) GetSysctl(key string) (value string, err error) {
	err = n.Do(func() error {
		raw, err := os.ReadFile(sysctlPath(key))
		if err != nil {
			return fmt.Errorf("lab: sysctl %s in %s: %w", key, n, err)
		}
		value = strings.TrimSpace(string(raw))
		return nil
	})
	return value, err
}

func sysctlPath(key string) string {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	return filepath.Join("/proc/sys", key)
}
