package takeover

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A manager is a program of the host that may configure the uplink. It is
// known by the files that it keeps while it runs.
type manager struct {
	name   string
	found  func(root, link string, index int) bool
	remedy string
}

var managers = [...]manager{
	{"systemd-networkd", networkd,
		"it follows the name, and configures the TAP as it did the NIC; let its .network file match by Name= and not by Driver= or Path="},
	{"NetworkManager", networkManager,
		"for it a TAP is of another type than a NIC, so it leaves it as it is, and renews no lease: give it a profile of type tun for %s, see docs/host.md"},
	{"ifupdown", ifupdown,
		"it does nothing until ifup or ifdown is called, which then concern the TAP; stop skeind before ifdown %s"},
	{"dhclient", dhclient,
		"it keeps its socket on the NIC and would not renew the lease: restart it on %s when skeind has started"},
	{"cloud-init", cloudInit,
		"it configures the network at boot only: let skeind.service start after cloud-init.target, as its unit does"},
}

// managedBy returns, in words, who manages a link and what to do about it.
// root is "/" but in tests.
func managedBy(root, link string, index int) (notes []string) {
	for _, m := range managers {
		if m.found(root, link, index) {
			remedy := m.remedy
			if strings.Contains(remedy, "%s") {
				remedy = fmt.Sprintf(remedy, link)
			}
			notes = append(notes, m.name+": "+remedy)
		}
	}
	return notes
}

func networkd(root, _ string, index int) bool {
	state, ok := keyOf(filepath.Join(root, "run/systemd/netif/links", fmt.Sprint(index)), "ADMIN_STATE")
	return ok && state != "unmanaged"
}

func networkManager(root, _ string, index int) bool {
	managed, _ := keyOf(filepath.Join(root, "run/NetworkManager/devices", fmt.Sprint(index)), "managed")
	return managed == "true" || managed == "1" || managed == "2" // 2: full (NMUnmanFlagOp)
}

func ifupdown(root, link string, _ int) bool {
	text, _ := os.ReadFile(filepath.Join(root, "run/network/ifstate"))
	for line := range bytes.Lines(text) {
		name, _, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		if name == link {
			return true
		}
	}
	// Debian keeps a file for each as well.
	text, _ = os.ReadFile(filepath.Join(root, "run/network/ifstate."+link))
	return len(bytes.TrimSpace(text)) > 0
}

func dhclient(root, link string, _ int) bool {
	pid, err := os.ReadFile(filepath.Join(root, "run/dhclient."+link+".pid"))
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(root, "proc", strings.TrimSpace(string(pid))))
	return err == nil
}

func cloudInit(root, _ string, _ int) bool {
	_, err := os.Stat(filepath.Join(root, "run/cloud-init/instance-data.json"))
	return err == nil
}

// keyOf returns the value of a line "key=value".
func keyOf(path, key string) (string, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", false
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), "="); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}
