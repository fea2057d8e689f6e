package configs

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

// Services says where services come from, and what they depend on.
type Services struct {
	// Files are YAML files of Kubernetes' Services, EndpointSlices and Nodes, or
	// directories of such files.
	Files []string `yaml:"files"`
	// CIDRs are where ClusterIPs are. The host reaches them through Skein, and
	// what is for one that no service has is unreachable.
	CIDRs []string `yaml:"cidrs"`
	// Endpoints are where endpoints can be; anywhere if empty.
	Endpoints []string `yaml:"endpoints"`
	// Zone is the node's, for topology hints, which are not looked at without.
	Zone string `yaml:"zone"`
	// APIServer is the service, "namespace/name", that keeps the endpoints it has
	// when it is left without.
	APIServer string `yaml:"api_server"`
	// AffinityClients is how many clients of services with session affinity are
	// remembered at once, in each family.
	AffinityClients int `yaml:"affinity_clients"`
	// RedirectHost has the node's own processes reach NodePorts and hostPorts, by
	// a table of nftables in the host's namespace.
	RedirectHost bool `yaml:"redirect_host"`
}

// NAT says which flows leave with another address.
type NAT struct {
	Pools []Pool `yaml:"pools"`
	// Exclude are destinations that see pods' own addresses, besides pools,
	// ClusterIPs and the node: other nodes above all.
	Exclude []string `yaml:"exclude"`
	// Static are mappings for good, as ParseStatic reads them.
	Static []string `yaml:"static"`
	// Ports are ranges, "1024-29999", that flows which leave with the node's
	// address have their ports from; nat.DefaultPorts if empty.
	Ports []string `yaml:"ports"`
	// Mapping says how flows that leave with the node's address share its ports:
	// EndpointDependent or EndpointIndependent, and the former if empty.
	Mapping string `yaml:"mapping"`
}

// How source NAT maps ports (RFC 4787, section 4.1).
const (
	EndpointDependent   = "address-and-port-dependent" // a port is shared by destinations
	EndpointIndependent = "endpoint-independent"       // one for all that an inside end talks to, and no other's
)

// PortRanges returns the ranges of Ports, nil if there are none.
func (n *NAT) PortRanges() (out []nat.PortRange, err error) {
	for _, text := range n.Ports {
		r, err := parsePorts(text)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// minNATPort is the first port that is not one of those that well-known services
// of the node itself are at (RFC 4787, section 4.2.1; RFC 6335, section 6).
const minNATPort = 1024

func parsePorts(text string) (r nat.PortRange, err error) {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if err1 != nil || err2 != nil || a < minNATPort || b < a {
		return r, fmt.Errorf("configs: %q where ports from %d to 65535 were expected, such as 1024-29999", text, minNATPort)
	}
	return nat.PortRange{First: uint16(a), Last: uint16(b)}, nil
}

// A Pool is addresses that pods have.
type Pool struct {
	CIDR string `yaml:"cidr"`
	// Outgoing has pods leave with the node's address, but for what is excluded.
	Outgoing bool `yaml:"outgoing"`
}

// Translates reports whether anything is to be translated.
func (c *Config) Translates() bool {
	return len(c.Services.Files)+len(c.Services.CIDRs)+len(c.NAT.Pools)+len(c.NAT.Static) > 0
}

// staticProtos are the protocols of mappings that have ports.
var staticProtos = map[string]uint8{"tcp": hdr.ProtoTCP, "udp": hdr.ProtoUDP, "sctp": hdr.ProtoSCTP}

// ParseStatic reads a mapping in VPP's words: "tcp local 10.244.0.2 8080 external
// 192.0.2.1 80", or "local 10.244.0.2 external 192.0.2.1" for all ports and
// protocols.
func ParseStatic(line string) (m nat.Static, err error) {
	f := strings.Fields(line)
	if len(f) > 0 {
		if p, ok := staticProtos[f[0]]; ok {
			m.Proto, f = p, f[1:]
		}
	}
	at := slices.Index(f, "external")
	if at < 0 || f[0] != "local" {
		return m, fmt.Errorf("configs: mapping %q: [tcp|udp|sctp] local <address> [<port>] external <address> [<port>] was expected", line)
	}
	if m.Inside, m.InsidePort, err = staticEnd(f[1:at]); err == nil {
		m.External, m.ExternalPort, err = staticEnd(f[at+1:])
	}
	if err != nil {
		return m, fmt.Errorf("configs: mapping %q: %w", line, err)
	}
	if _, err := nat.NewStatics([]nat.Static{m}); err != nil {
		return m, fmt.Errorf("configs: mapping %q: %s", line, strings.TrimPrefix(err.Error(), "nat: "))
	}
	return m, nil
}

func staticEnd(words []string) (a hdr.Addr6, port uint16, err error) {
	if len(words) < 1 || len(words) > 2 {
		return a, 0, fmt.Errorf("an address was expected, with or without a port")
	}
	addr, err := netip.ParseAddr(words[0])
	if err != nil || addr.Is4In6() || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
		return a, 0, fmt.Errorf("%q where an address was expected, such as 192.0.2.1", words[0])
	}
	if len(words) == 2 {
		n, err := strconv.ParseUint(words[1], 10, 16)
		if err != nil || n == 0 {
			return a, 0, fmt.Errorf("%q where a port was expected, 1 to 65535", words[1])
		}
		port = uint16(n)
	}
	return hdr.Addr6From(addr), port, nil
}

// StaticLine writes a mapping as ParseStatic reads it.
func StaticLine(m nat.Static) string {
	line := ""
	for name, p := range staticProtos {
		if p == m.Proto {
			line = name + " "
		}
	}
	end := func(a hdr.Addr6, port uint16) string {
		if port == 0 {
			return a.Addr().Unmap().String()
		}
		return fmt.Sprintf("%s %d", a.Addr().Unmap(), port)
	}
	return line + "local " + end(m.Inside, m.InsidePort) + " external " + end(m.External, m.ExternalPort)
}

func (c *checker) nat(cfg *Config) {
	for i, path := range cfg.Services.Files {
		if !filepath.IsAbs(path) {
			c.add(fmt.Sprintf("services.files[%d]", i), "%q where an absolute path was expected", path)
		}
	}
	for field, list := range map[string][]string{"services.cidrs": cfg.Services.CIDRs, "services.endpoints": cfg.Services.Endpoints, "nat.exclude": cfg.NAT.Exclude} {
		for i, text := range list {
			c.prefix(fmt.Sprintf("%s[%d]", field, i), text, true)
		}
	}
	if name := cfg.Services.APIServer; name != "" && strings.Count(name, "/") != 1 {
		c.add("services.api_server", "%q where namespace/name was expected", name)
	}
	for i, p := range cfg.NAT.Pools {
		c.prefix(fmt.Sprintf("nat.pools[%d].cidr", i), p.CIDR, true)
	}
	c.between("services.affinity_clients", cfg.Services.AffinityClients, minAffinity, maxAffinity)
	c.natPorts(cfg.NAT.Ports)
	c.natMapping(cfg)
	var all []nat.Static
	for i, line := range cfg.NAT.Static {
		m, err := ParseStatic(line)
		if err != nil {
			c.add(fmt.Sprintf("nat.static[%d]", i), "%s", strings.TrimPrefix(err.Error(), "configs: "))
			continue
		}
		all = append(all, m)
	}
	if _, err := nat.NewStatics(all); err != nil {
		c.add("nat.static", "%s", strings.TrimPrefix(err.Error(), "nat: "))
	}
}

// Bounds of services.affinity_clients: 48 bytes each, in each family.
const (
	minAffinity = 64
	maxAffinity = 1 << 22
)

// natMapping checks how ports are mapped. With several workers the answer's port
// says which has the flow, so that one port for all destinations can't be had.
func (c *checker) natMapping(cfg *Config) {
	switch m := cfg.NAT.Mapping; {
	case m != "" && m != EndpointDependent && m != EndpointIndependent:
		c.add("nat.mapping", "%q where %s or %s was expected", m, EndpointDependent, EndpointIndependent)
	case m == EndpointIndependent && cfg.Workers.Number() > 1:
		c.add("nat.mapping", "%s needs a single worker, found %d", m, cfg.Workers.Number())
	}
}

// natPorts checks each range by itself, and all of them together.
func (c *checker) natPorts(all []string) {
	var ranges []nat.PortRange
	for i, text := range all {
		r, err := parsePorts(text)
		if err != nil {
			c.add(fmt.Sprintf("nat.ports[%d]", i), "%s", strings.TrimPrefix(err.Error(), "configs: "))
			return
		}
		ranges = append(ranges, r)
	}
	if len(ranges) == 0 {
		return
	}
	if _, err := nat.NewPorts(ranges...); err != nil {
		c.add("nat.ports", "%s", strings.TrimPrefix(err.Error(), "nat: ports: "))
	}
}
