package configs

import (
	"fmt"
	"net"
	"net/netip"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/internal/strictyaml"
)

// Bounds of what may be asked for.
const (
	maxIfName  = 15       // bytes: IFNAMSIZ less the terminating zero
	minBuffers = 1024     // below, a single vector each way does not fit
	maxSmall   = 4 << 20  // 8 GiB
	minLarge   = 64       // one vector of superpackets, and as many that each uplink's driver keeps to receive into
	maxLarge   = 64 << 10 // 4 GiB
	// The kernel drops what a TUN's queue can't take: below, a single burst.
	minPodQueue = 16
	maxPodQueue = 65535
	minMTU      = 1280 // RFC 8200, section 5: below, IPv6 does not work
	maxMTU      = 9216 // the largest that NICs commonly take
)

// checker notes what is wrong in the document that it stands in.
type checker struct{ doc *strictyaml.Document }

func (c *checker) add(field, format string, args ...any) { c.doc.Fail(field, format, args...) }

// check notes everything that is wrong with a Config that d was read into.
func (cfg *Config) check(d *strictyaml.Document) {
	c := &checker{d}
	if !filepath.IsAbs(cfg.RunDir) {
		c.add("run_dir", "%q where an absolute path was expected", cfg.RunDir)
	}
	c.uplinks(cfg.Uplinks)
	c.pods(cfg.Pods)
	c.guard(cfg)
	c.routes(cfg)
	c.acls(cfg.ACLs)
	c.policy(cfg)
	c.nat(cfg)
	c.workers(cfg)
	each := cfg.Workers.Number() // has a share of its own
	c.between("buffers.small", cfg.Buffers.Small, minBuffers*each, maxSmall)
	c.between("buffers.large", cfg.Buffers.Large, minLarge*(1+len(cfg.Uplinks))*each, maxLarge)
	c.between("buffers.pod_queue", cfg.Buffers.PodQueue, minPodQueue, maxPodQueue)
	if !filepath.IsAbs(cfg.API.Socket) || len(cfg.API.Socket) > 107 {
		c.add("api.socket", "%q where an absolute path of at most 107 bytes was expected", cfg.API.Socket)
	}
	if path := cfg.CNI.CalicoSocket; path != "" && (!filepath.IsAbs(path) || len(path) > 107 || path == cfg.API.Socket) {
		c.add("cni.calico_socket", "%q where an absolute path of at most 107 bytes was expected, other than api.socket", path)
	}
	c.dhcp(cfg.CNI)
	if g := cfg.API.Group; g != "" {
		if _, err := user.LookupGroup(g); err != nil {
			c.add("api.group", "%q is not a group of this machine", g)
		}
	}
	c.oneOf("log.level", cfg.Log.Level, "debug", "info", "warn", "error")
	if f := cfg.Log.File; f != "" && !filepath.IsAbs(f) {
		c.add("log.file", "%q where an absolute path was expected", f)
	}
}

func (c *checker) between(field string, n, low, high int) {
	if n < low || n > high {
		c.add(field, "%d where a number from %d to %d was expected", n, low, high)
	}
}

func (c *checker) oneOf(field, word string, allowed ...string) {
	if !slices.Contains(allowed, word) {
		c.add(field, "%q where one of %s was expected", word, strings.TrimPrefix(strings.Join(allowed, ", "), ", "))
	}
}

// routes checks that each line is a route over interfaces that there will be.
func (c *checker) routes(cfg *Config) {
	known := map[string]uint32{}
	for i, u := range cfg.Uplinks {
		known["host-"+u.Interface] = uint32(2*i + 1)
		known[fmt.Sprintf("tap%d", i)] = uint32(2*i + 2)
	}
	for _, p := range cfg.Pods {
		known[p.Name] = uint32(len(known) + 1)
	}
	index := func(name string) (uint32, bool) { i, ok := known[name]; return i, ok }
	for i, line := range cfg.Routes {
		if _, err := fib.ParseRoute(line, index); err != nil {
			c.add(fmt.Sprintf("routes[%d]", i), "%s; a line as for ip route was expected", strings.TrimPrefix(err.Error(), "fib: "))
		}
	}
}

// ifNames are names that the kernel takes (dev_valid_name) and that need no
// quoting anywhere.
var ifNames = regexp.MustCompile(`^[A-Za-z0-9_.@-]+$`)

// ValidIfName reports whether an interface can have such a name.
func ValidIfName(name string) bool {
	return len(name) <= maxIfName && ifNames.MatchString(name) && name != "." && name != ".."
}

func (c *checker) ifName(field, name string) {
	if !ValidIfName(name) {
		c.add(field, "%q where the name of an interface was expected: at most %d of A-Z a-z 0-9 _ . @ -", name, maxIfName)
	}
}

func (c *checker) uplinks(all []Uplink) {
	seen := map[string]bool{}
	for i, u := range all {
		at := fmt.Sprintf("uplinks[%d]", i)
		c.ifName(at+".interface", u.Interface)
		if seen[u.Interface] {
			c.add(at+".interface", "%q is an uplink already", u.Interface)
		}
		seen[u.Interface] = true
		c.oneOf(at+".driver", u.Driver, "auto", "af_xdp", "af_packet")
		c.xdp(at+".af_xdp", u)
		c.confirm(at+".confirm", u.Confirm)
		for j, p := range u.HostRoutes {
			c.prefix(fmt.Sprintf("%s.host_routes[%d]", at, j), p, true)
		}
	}
}

// maxBusyPoll is what SO_BUSY_POLL_BUDGET has room for, 16 bits.
const maxBusyPoll = 1<<16 - 1

func (c *checker) xdp(at string, u Uplink) {
	c.oneOf(at+".superpackets", u.XDP.Superpackets, "auto", "whole", "cut")
	if u.XDP.BusyPoll < 0 || u.XDP.BusyPoll > maxBusyPoll {
		c.add(at+".busy_poll", "%d where 0 to %d packets were expected", u.XDP.BusyPoll, maxBusyPoll)
	}
	if u.Driver == "af_packet" && u.XDP != (XDP{Superpackets: "auto"}) {
		c.add(at, "the driver is af_packet, which does not read this")
	}
}

// Bounds of the time in which a takeover has to be confirmed. Nobody waits for
// longer to get a node back.
const (
	minConfirm = time.Second // of RFC 4861's retransmissions, one
	maxConfirm = 5 * time.Minute
)

func (c *checker) confirm(at string, x Confirm) {
	if x.Timeout < minConfirm || x.Timeout > maxConfirm {
		c.add(at+".timeout", "%v where a time from %v to %v was expected, such as 10s", x.Timeout, minConfirm, maxConfirm)
	}
	c.oneOf(at+".gateway", string(x.Gateway), "", "on", "off", "true", "false")
	if x.TCP == "" {
		return
	}
	host, port, err := net.SplitHostPort(x.TCP)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n == 0 || host == "" {
		c.add(at+".tcp", "%q where host:port was expected, such as 10.0.0.1:6443", x.TCP)
	}
}

// prefix checks one with its length, without host bits if masked.
func (c *checker) prefix(field, text string, masked bool) (p netip.Prefix) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || p.Addr().Is4In6():
		c.add(field, "%q where a prefix was expected, such as 10.244.0.0/16 or 2001:db8::/64", text)
	case masked && p != p.Masked():
		c.add(field, "%q has bits beyond its length: %s was meant, or another length", text, p.Masked())
	}
	return p
}

func (c *checker) pods(all []Pod) {
	names, addrs := map[string]bool{}, map[netip.Addr]string{}
	for i, p := range all {
		at := fmt.Sprintf("pods[%d]", i)
		c.ifName(at+".name", p.Name)
		if names[p.Name] {
			c.add(at+".name", "%q is the name of another pod", p.Name)
		}
		names[p.Name] = true
		c.ifName(at+".interface", p.Interface)
		if p.NetNS == "" {
			c.add(at+".netns", "missing: the path of a network namespace was expected, or its name in /run/netns")
		}
		c.oneOf(at+".type", p.Type, "", TypeTUN, TypeVeth)
		c.oneOf(at+".offload", string(p.Offload), "", "on", "off", "true", "false")
		if p.MTU != 0 {
			c.between(at+".mtu", p.MTU, minMTU, maxMTU)
		}
		if len(p.Addresses) == 0 {
			c.add(at+".addresses", "missing: an address such as 10.244.0.2/32 was expected")
		}
		for j, a := range p.Addresses {
			field := fmt.Sprintf("%s.addresses[%d]", at, j)
			addr := c.prefix(field, a, false).Addr()
			if other, taken := addrs[addr]; taken {
				c.add(field, "%s is an address of %s already", addr, other)
			}
			addrs[addr] = p.Name
		}
		c.namedPorts(at+".workload.ports", p.Workload.Ports)
		c.podExtras(at, &p)
	}
}

func (c *checker) podExtras(at string, p *Pod) {
	for j, line := range p.Routes {
		if _, err := ParsePodRoute(line); err != nil {
			c.add(fmt.Sprintf("%s.routes[%d]", at, j), "%s", strings.TrimPrefix(err.Error(), "configs: "))
		}
	}
	for name := range p.Sysctls {
		if _, err := SysctlKey(name, p.Interface); err != nil {
			c.add(at+".sysctls."+name, "%s", strings.TrimPrefix(err.Error(), "configs: "))
		}
	}
}

func (c *checker) namedPorts(at string, ports []NamedPort) {
	for i, p := range ports {
		at := fmt.Sprintf("%s[%d]", at, i)
		if p.Name == "" {
			c.add(at+".name", "missing: the port's name was expected, such as http")
		}
		c.oneOf(at+".protocol", p.Protocol, "", "TCP", "UDP", "SCTP")
		c.between(at+".port", p.Port, 1, 65535)
	}
}
