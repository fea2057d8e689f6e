package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/tuntap"
)

// A capability is one of capabilities(7), by the number that it has in
// linux/capability.h.
type capability uint

func (c capability) String() string {
	switch c {
	case unix.CAP_NET_ADMIN:
		return "CAP_NET_ADMIN"
	case unix.CAP_NET_RAW:
		return "CAP_NET_RAW"
	case unix.CAP_SYS_ADMIN:
		return "CAP_SYS_ADMIN"
	}
	return fmt.Sprintf("capability %d", uint(c))
}

// needToRestore says so if the process can't give an uplink back: links and
// routes need CAP_NET_ADMIN, network namespaces and mounts CAP_SYS_ADMIN.
func needToRestore() error { return need(unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN) }

// needToRun says so if the process can't do what a daemon does. It is asked
// before anything is touched.
func needToRun() error {
	if err := need(unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN); err != nil {
		return err
	}
	return tuntap.Available()
}

// need says which capabilities the calling thread lacks.
func need(caps ...capability) error {
	var has [2]unix.CapUserData // low and high half (capget(2))
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &has[0]); err != nil {
		return fmt.Errorf("capabilities: %w", os.NewSyscallError("capget", err))
	}
	lacks := slices.DeleteFunc(caps, func(c capability) bool { return has[c/32].Effective&(1<<(c%32)) != 0 })
	if len(lacks) == 0 {
		return nil
	}
	names := make([]string, len(lacks))
	for i, c := range lacks {
		names[i] = c.String()
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root, for %s: start it with sudo, or by its systemd unit", strings.Join(names, ", "))
	}
	return fmt.Errorf("needs %s, which this root lacks: grant it in the container's or the unit's capabilities", strings.Join(names, ", "))
}
