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

// failsafeName is the name of a tier or a policy that no resource says. None can
// be called that: names have no blanks.
const failsafeName = "failsafe ports"

// failsafeTier returns what stands before all tiers: at a host endpoint, for the
// host's own traffic, the failsafe ports.
func (e *Engine) failsafeTier(host bool, d Direction) []acl.Tier {
	if rules := e.failsafe(d, acl.Allow); host && d <= Egress && len(rules) > 0 {
		return []acl.Tier{{Name: failsafeName, Default: acl.Pass, Policies: []acl.Policy{{Name: failsafeName, Rules: rules}}}}
	}
	return nil
}

// failsafePolicy returns what stands at the beginning of each tier that is asked
// before sessions or services. Those tiers have nothing to say about failsafe
// ports, not even that they are open: packets that are let pass here without a
// session would have answers that belong to none.
func (e *Engine) failsafePolicy(d Direction) []acl.Policy {
	if rules := e.failsafe(d, acl.Pass); d > ForwardEgress && len(rules) > 0 {
		return []acl.Policy{{Name: failsafeName, Rules: rules}}
	}
	return nil
}

// failsafe returns the rules for one direction. Before sessions they are about
// the answers of the other direction too.
func (e *Engine) failsafe(d Direction, action acl.Action) []acl.Rule {
	in := !d.egress()
	own, other := e.options.FailsafeIn, e.options.FailsafeOut
	if !in {
		own, other = other, own
	}
	rules := failsafeRules(own, action, in, false)
	if d == UntrackedIngress || d == UntrackedEgress {
		rules = append(rules, failsafeRules(other, action, in, true)...)
	}
	return rules
}

// failsafeRules returns rules for ports at the destination, or for answers at the
// source.
func failsafeRules(list []Failsafe, action acl.Action, in, answers bool) (out []acl.Rule) {
	for _, f := range list {
		r := acl.Rule{Action: action, Proto: f.Proto}
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
