package policy

import (
	"net/netip"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
)

// A Failsafe is a port that stays open at host endpoints.
type Failsafe struct {
	Proto uint8
	Port  uint16
	Net   netip.Prefix // of the other end; the zero Prefix is any
}

// FailsafeIn returns Calico's list for what comes to the host
// (FelixConfiguration, failsafeInboundHostPorts): SSH, DHCP, BGP, etcd, Typha and
// the Kubernetes API.
func FailsafeIn() []Failsafe {
	return append([]Failsafe{{Proto: hdr.ProtoTCP, Port: 22}, {Proto: hdr.ProtoUDP, Port: 68}}, failsafeBoth()...)
}

// FailsafeOut returns Calico's list for what the host sends (FelixConfiguration,
// failsafeOutboundHostPorts): DNS, DHCP, and as FailsafeIn.
func FailsafeOut() []Failsafe {
	return append([]Failsafe{{Proto: hdr.ProtoUDP, Port: 53}, {Proto: hdr.ProtoUDP, Port: 67}}, failsafeBoth()...)
}

func failsafeBoth() (out []Failsafe) {
	for _, port := range []uint16{179, 2379, 2380, 5473, 6443, 6666, 6667} {
		out = append(out, Failsafe{Proto: hdr.ProtoTCP, Port: port})
	}
	return out
}

// failsafeTier is the name of what comes before all tiers at host endpoints. No
// Tier can be called that: names have no blanks.
const failsafeTier = "failsafe ports"

// failsafeTier returns what stands before all tiers: at host endpoints, but for
// what they forward, the failsafe ports.
func (e *Engine) failsafeTier(host bool, d Direction) []acl.Tier {
	rules := e.failsafe(d)
	if !host || d == ForwardIngress || d == ForwardEgress || len(rules) == 0 {
		return nil
	}
	return []acl.Tier{{Name: failsafeTier, Default: acl.Pass, Policies: []acl.Policy{{Name: failsafeTier, Rules: rules}}}}
}

// failsafe returns the rules for one direction. Those before sessions let the
// answers of the other direction pass too.
func (e *Engine) failsafe(d Direction) []acl.Rule {
	in := !d.egress()
	own, other := e.options.FailsafeIn, e.options.FailsafeOut
	if !in {
		own, other = other, own
	}
	rules := failsafeRules(own, in, false)
	if d == UntrackedIngress || d == UntrackedEgress {
		rules = append(rules, failsafeRules(other, in, true)...)
	}
	return rules
}

// failsafeRules allows ports at the destination, or for answers at the source.
func failsafeRules(list []Failsafe, in, answers bool) (out []acl.Rule) {
	for _, f := range list {
		r := acl.Rule{Action: acl.Allow, Proto: f.Proto}
		ports := []acl.PortRange{{First: f.Port, Last: f.Port}}
		if answers {
			r.Src.Ports = ports
		} else {
			r.Dst.Ports = ports
		}
		if f.Net.IsValid() {
			far := &r.Dst
			if in {
				far = &r.Src
			}
			far.Nets = []netip.Prefix{f.Net.Masked()}
		}
		out = append(out, r)
	}
	return out
}
