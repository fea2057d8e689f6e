package takeover

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/tuntap"
)

// needed are the capabilities that a takeover takes, and for what.
var needed = [...]struct {
	bit  uint
	name string
}{
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, // links, addresses, routes
	{unix.CAP_NET_RAW, "CAP_NET_RAW"},     // AF_PACKET and AF_XDP
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, // network namespaces and their mounts
}

// Add adds what somebody else has checked.
func (p *Plan) Add(what string, v Verdict, reason string) { p.add(what, v, "%s", reason) }

// Device checks what Take needs of the kernel, by doing: a TUN in a namespace
// that is thrown away.
func (p *Plan) Device() {
	if missing, err := missingCapabilities(); err != nil {
		p.add("capabilities", Refused, "%v", err)
	} else if len(missing) > 0 {
		p.add("capabilities", Refused, "%s missing", strings.Join(missing, ", "))
	} else {
		p.add("capabilities", Passed, "all that it takes")
	}
	if err := tryTap(); err != nil {
		p.add("TAP", Refused, "%v", err)
	} else {
		p.add("TAP", Passed, "one could be made")
	}
}

func missingCapabilities() (names []string, err error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		value, ok := strings.CutPrefix(lines.Text(), "CapEff:")
		if !ok {
			continue
		}
		has, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("capabilities of the process: %w", err)
		}
		for _, n := range needed {
			if has>>n.bit&1 == 0 {
				names = append(names, n.name)
			}
		}
		return names, nil
	}
	return nil, errors.New("the kernel does not tell the process's capabilities")
}

func tryTap() error {
	return inThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		tap, err := tuntap.Create(tuntap.Config{Name: "skein0", Mode: tuntap.TAP, Offload: true})
		if err != nil {
			return err
		}
		return tap.Queues()[0].Close(nil) // it holds no buffers: nobody has used it
	})
}
