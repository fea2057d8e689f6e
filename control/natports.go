package control

import (
	"fmt"
	"os"
	"slices"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
)

// nodeSpecs returns the nodes, as large as the configuration asks for.
func (c *Control) nodeSpecs() ([]graph.Spec, error) {
	specs, err := nodes.Sized(nodes.NATSize{AffinityClients: c.cfg.Services.AffinityClients, Ports: c.natPorts(), Mappings: c.natMappings()})
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	return specs, nil
}

// natMappings returns for how many inside ends mappings are endpoint-independent:
// as many as there can be sessions, or none.
func (c *Control) natMappings() int {
	if c.cfg.NAT.Mapping != configs.EndpointIndependent {
		return 0
	}
	return c.cfg.Sessions.Capacity
}

// natPorts returns the ranges that source NAT has its ports from.
func (c *Control) natPorts() []nat.PortRange {
	ranges, err := c.cfg.NAT.PortRanges()
	if err != nil || len(ranges) == 0 { // an error: it was refused before
		return nat.DefaultPorts[:]
	}
	return ranges
}

// hostPortRange is where Linux keeps the ports that the host's own connections
// have, of both families.
const hostPortRange = "/proc/sys/net/ipv4/ip_local_port_range"

// checkNATPorts logs when a configured range holds ports of the host's own: of
// two flows to one end from one port, the later one would be refused.
func (c *Control) checkNATPorts() {
	text, err := os.ReadFile(hostPortRange)
	if err != nil || len(c.cfg.NAT.Ports) == 0 {
		return // a host without IPv4 has none
	}
	var first, last uint16
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil {
		c.log.Warn("ports of the host's own connections", zap.Error(err))
		return
	}
	if slices.ContainsFunc(c.natPorts(), func(r nat.PortRange) bool { return r.First <= last && first <= r.Last }) {
		c.log.Warn("nat.ports has ports of the host's own connections", zap.Strings("nat.ports", c.cfg.NAT.Ports),
			zap.String("ip_local_port_range", fmt.Sprintf("%d-%d", first, last)))
	}
}
