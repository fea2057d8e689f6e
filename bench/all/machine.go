package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A machine is where and what was measured, in words.
type machine struct{ hardware, software, commit string }

func describe(ctx context.Context) (machine, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return machine{}, fmt.Errorf("all: uname: %w", err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return machine{}, fmt.Errorf("all: sysinfo: %w", err)
	}
	level, err := output(ctx, "go", "env", "GOAMD64")
	if err != nil {
		return machine{}, err
	}
	return machine{
		hardware: fmt.Sprintf("%s, %d cores, %d GiB of memory", field("/proc/cpuinfo", "model name"), runtime.NumCPU(), info.Totalram*uint64(info.Unit)>>30),
		software: fmt.Sprintf("Linux %s, %s, GOAMD64=%s", unix.ByteSliceToString(u.Release[:]), runtime.Version(), level),
		commit:   commit(ctx),
	}, nil
}

// commit names what is measured. What this command itself writes is no change.
func commit(ctx context.Context) string {
	name, err := output(ctx, "git", "describe", "--always")
	if err != nil {
		return "not in a repository"
	}
	if changed, err := output(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/RESULTS.md"); err != nil || changed != "" {
		name += ", changed"
	}
	return name
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	text, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("all: %s: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// field returns what a file of the kernel's says behind "key :".
func field(path, key string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// load returns the load average of the last minute: what else the machine does.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
