package configs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// An Attachment is a pod's interface as a container runtime knows it: by
// container and the name of the interface (CNI 1.1.0). The zero Attachment is
// of a TUN that no runtime has asked for.
type Attachment struct {
	ContainerID string        `json:",omitempty"`
	Network     string        `json:",omitempty"` // the name of the network's configuration
	Ports       []PortMapping `json:",omitempty"` // hostPorts: see Services and NAT in docs/guide.md
}

// The types of a pod's interface.
const (
	TypeTUN  = "tun"  // carries IP packets; what nobody has named is one
	TypeVeth = "veth" // an Ethernet device, which costs more
)

// A PortMapping is a port of the node that stands for one of the pod.
type PortMapping struct {
	HostPort      int
	ContainerPort int
	Protocol      string // tcp, udp or sctp
	HostIP        string // empty: all of the node's
}

// Bandwidth is how much may pass, seen from the pod, in bits per second and
// bits. A rate of 0 is no limit, a burst of 0 what passes in 100 ms.
type Bandwidth struct {
	IngressRate  uint64 `yaml:"ingress_rate" json:",omitempty"` // to the pod
	IngressBurst uint64 `yaml:"ingress_burst" json:",omitempty"`
	EgressRate   uint64 `yaml:"egress_rate" json:",omitempty"` // from the pod
	EgressBurst  uint64 `yaml:"egress_burst" json:",omitempty"`
}

// A PodRoute is a way that a pod has over its interface, besides the default.
type PodRoute struct {
	Prefix netip.Prefix
	MTU    int // bytes; 0: the interface's
	AdvMSS int // bytes; 0: from the MTU
	Metric int // 0: the kernel's
	Table  int // 0: main
}

// String writes the route as ParsePodRoute reads it.
func (r PodRoute) String() string {
	text := r.Prefix.String()
	for _, x := range r.numbers() {
		if *x.n != 0 {
			text += " " + x.word + " " + strconv.Itoa(*x.n)
		}
	}
	return text
}

// numbers are the words of a line, as ip route has them.
func (r *PodRoute) numbers() []struct {
	word string
	n    *int
} {
	return []struct {
		word string
		n    *int
	}{{"mtu", &r.MTU}, {"advmss", &r.AdvMSS}, {"metric", &r.Metric}, {"table", &r.Table}}
}

// ParsePodRoute reads a line as ip route takes it, without a gateway, which a
// TUN has no use for: "10.0.0.0/8 mtu 1400 metric 5".
func ParsePodRoute(line string) (r PodRoute, err error) {
	f := strings.Fields(line)
	if len(f) == 0 || len(f)%2 == 0 {
		return r, fmt.Errorf("configs: route %q: a prefix was expected, and pairs such as mtu 1400", line)
	}
	if r.Prefix, err = netip.ParsePrefix(f[0]); err != nil || r.Prefix.Addr().Is4In6() || r.Prefix != r.Prefix.Masked() {
		return r, fmt.Errorf("configs: route %q: a prefix was expected, such as 10.0.0.0/8 or 2001:db8::/32", line)
	}
	for i := 1; i < len(f); i += 2 {
		if err := r.set(f[i], f[i+1]); err != nil {
			return r, fmt.Errorf("configs: route %q: %w", line, err)
		}
	}
	return r, nil
}

func (r *PodRoute) set(word, value string) error {
	for _, x := range r.numbers() {
		if x.word == word {
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return fmt.Errorf("%s %q: a number was expected", word, value)
			}
			*x.n = int(n)
			return nil
		}
	}
	return fmt.Errorf("%q where one of mtu, advmss, metric, table was expected", word)
}

// SysctlKey returns the file below /proc/sys of a parameter of a pod's network,
// named as sysctl(8) does; IFNAME in it stands for the pod's interface. What is
// not of the network namespace is refused: it would be the node's.
func SysctlKey(name, ifName string) (string, error) {
	key := name
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	key = strings.ReplaceAll(key, "IFNAME", ifName)
	parts := strings.Split(key, "/")
	if len(parts) < 3 || parts[0] != "net" {
		return "", fmt.Errorf("configs: sysctl %q: a name such as net.ipv4.conf.IFNAME.rp_filter was expected", name)
	}
	for _, p := range parts {
		if p == "" || p == "." || p == ".." {
			return "", fmt.Errorf("configs: sysctl %q: not a name", name)
		}
	}
	return key, nil
}

func (c *checker) dhcp(cfg CNI) {
	for field, text := range map[string]string{"cni.dhcp_server": cfg.DHCPServer, "cni.dhcp_subnet": cfg.DHCPSubnet} {
		if text == "" {
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			c.add(field, "%q where an IPv4 address was expected", text)
		}
	}
	if cfg.DHCPSubnet != "" && cfg.DHCPServer == "" {
		c.add("cni.dhcp_subnet", "without cni.dhcp_server there is nobody to assign from it")
	}
}
