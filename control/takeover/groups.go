package takeover

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Multicast groups belong to the device and to sockets that have joined them
// there. Both lose them when the device moves to another namespace.

// The kernel's lists, of the calling thread's namespace.
const (
	linkGroups = "/proc/thread-self/net/dev_mcast"
	groups4    = "/proc/thread-self/net/igmp"
	groups6    = "/proc/thread-self/net/igmp6"
)

// groups looks for groups that would be lost.
func (p *Plan) groups(name string) {
	p.none("link-layer groups", func() ([]string, error) {
		return listed(linkGroups, func(text string) []string { return staticGroups(text, name) })
	},
		"would be lost: delete it (ip maddr del … dev "+name+"); the TAP hears all groups anyway")
	v4, err4 := listed(groups4, func(text string) []string { return joined4(text, name) })
	v6, err6 := listed(groups6, func(text string) []string { return joined6(text, name) })
	if err := errors.Join(err4, err6); err != nil {
		p.add("groups", Refused, "they can't be listed: %v", err)
	} else if all := slices.Concat(v4, v6); len(all) > 0 {
		p.add("groups", Noted, "programs have joined %s on it, and have to join again once the TAP is there, and once it is gone: restart them", strings.Join(all, ", "))
	} else {
		p.add("groups", Passed, "no program has joined one on it")
	}
}

// listed returns what a list of the kernel has, which it lacks without the
// protocol.
func listed(path string, parse func(text string) []string) ([]string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return parse(string(text)), err
}

// staticGroups returns the link-layer groups of a device that somebody has set
// by hand (ip maddr add): index, name, users, set by hand, address.
func staticGroups(text, name string) (out []string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 5 && f[1] == name && f[3] != "0" {
			out = append(out, f[4])
		}
	}
	return out
}

// joined4 returns the IPv4 groups that are joined on a device but for the
// kernel's own. A line "2 eth0 : 3 V3" names the device; its groups follow,
// each of them a number of the machine's made of what lies in memory.
func joined4(text, name string) (out []string) {
	current := ""
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) >= 3 && !strings.HasPrefix(line, "\t") {
			current = strings.TrimSuffix(f[1], ":")
			continue
		}
		if len(f) == 0 || current != name {
			continue
		}
		var n uint32
		if _, err := fmt.Sscanf(f[0], "%x", &n); err != nil || len(f[0]) != 8 {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], n)
		if a := netip.AddrFrom4(b); a != netip.AddrFrom4([4]byte{224, 0, 0, 1}) {
			out = append(out, a.String())
		}
	}
	return out
}

// joined6 returns the IPv6 groups that are joined on a device but for the
// kernel's own: index, name, group, users …
func joined6(text, name string) (out []string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != name {
			continue
		}
		raw, err := hex.DecodeString(f[2])
		if a, ok := netip.AddrFromSlice(raw); err == nil && ok && !kernels6(a) {
			out = append(out, a.String())
		}
	}
	return out
}

// solicited is of the groups that neighbours are asked by (RFC 4291, section
// 2.7.1).
var solicited = netip.MustParsePrefix("ff02::1:ff00:0/104")

// kernels6 reports whether the kernel joins a group by itself: all nodes, all
// routers, and those of its addresses.
func kernels6(a netip.Addr) bool {
	switch a.String() {
	case "ff01::1", "ff02::1", "ff01::2", "ff02::2", "ff05::2", "ff02::6a": // the last is of RFC 4286
		return true
	}
	return solicited.Contains(a)
}
