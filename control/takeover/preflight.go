package takeover

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Verdict is what a check says.
type Verdict uint8

const (
	Refused Verdict = iota // the takeover would fail, or lose something
	Noted                  // it would succeed, and something is to be known
	Passed
)

func (v Verdict) String() string { return [...]string{"refused", "note", "ok"}[v] }

// A Check is one thing that was looked at before a takeover.
type Check struct {
	What    string
	Verdict Verdict
	Reason  string
}

// A Plan is what a takeover would do.
type Plan struct {
	Uplink string
	Checks []Check
	Host   *Snapshot // nil if the interface can't be read
	index  int
}

func (p *Plan) add(what string, v Verdict, format string, args ...any) {
	p.Checks = append(p.Checks, Check{what, v, fmt.Sprintf(format, args...)})
}

// Err returns why the uplink can't be taken over, which wraps ErrRefused, or
// nil.
func (p *Plan) Err() error {
	var all []error
	for _, c := range p.Checks {
		if c.Verdict == Refused {
			all = append(all, fmt.Errorf("takeover: %w: %s: %s", ErrRefused, c.What, c.Reason))
		}
	}
	return errors.Join(all...)
}

// Preflight looks at everything that a takeover depends on, and changes
// nothing.
func Preflight(o Options) *Plan {
	p := &Plan{Uplink: o.Uplink}
	link, err := netlink.LinkByName(o.Uplink)
	if err != nil {
		p.add("interface", Refused, "there is no interface %q", o.Uplink)
		return p
	}
	p.index = link.Attrs().Index
	if err := acceptable(link); err != nil {
		p.add("interface", Refused, "%s %v", o.Uplink, err)
		return p
	}
	a := link.Attrs()
	p.add("interface", Passed, "%s, %s, MTU %d, %d receive and %d transmit queues", a.HardwareAddr, link.Type(), a.MTU, a.NumRxQueues, a.NumTxQueues)
	if a.RawFlags&unix.IFF_RUNNING == 0 {
		p.add("carrier", Noted, "there is none, so nothing can be confirmed")
	}
	p.children()
	p.hooks(link)
	p.configuration(o.Uplink)
	for _, note := range managedBy("/", o.Uplink, p.index) {
		p.add("managed", Noted, "%s", note)
	}
	return p
}

// acceptable says why an interface can't be taken over whatever is configured
// on it.
func acceptable(link netlink.Link) error {
	a := link.Attrs()
	switch {
	case a.Flags&net.FlagLoopback != 0:
		return errors.New("is the loopback")
	case link.Type() == "tuntap" || link.Type() == "tun":
		if uplink, ok := standsFor(link); ok {
			return fmt.Errorf("is a TAP that stands for %s: another skeind has it, or has left it behind", uplink)
		}
		return errors.New("is itself a TUN or TAP")
	case a.EncapType != "ether":
		return fmt.Errorf("is not an Ethernet interface but %s", a.EncapType)
	case link.Type() == "bridge" || link.Type() == "bond" || link.Type() == "team" || link.Type() == "vrf":
		return fmt.Errorf("is a %s, which the kernel does not let change its namespace: take over what it is made of", link.Type())
	case a.MasterIndex != 0:
		return fmt.Errorf("belongs to %s: release it first (ip link set dev %s nomaster)", masterText(a.MasterIndex), a.Name)
	case a.Xdp != nil && a.Xdp.Attached:
		return fmt.Errorf("has an XDP program of somebody else: take it off (ip link set dev %s xdp off)", a.Name)
	}
	return nil
}

func masterText(index int) string {
	master, err := netlink.LinkByIndex(index)
	if err != nil {
		return "a bridge or a bond"
	}
	return fmt.Sprintf("the %s %s", master.Type(), master.Attrs().Name)
}

// children refuses what the kernel would delete or leave hanging.
func (p *Plan) children() {
	all, err := netlink.LinkList()
	if err != nil {
		p.add("children", Refused, "they can't be listed: %v", err)
		return
	}
	on := carried(p.index, all)
	for _, l := range on {
		p.add("children", Refused, "it carries the %s interface %s, which would lose it: delete that, and make it again on the TAP",
			l.Type(), l.Attrs().Name)
	}
	if len(on) == 0 {
		p.add("children", Passed, "no VLAN or other interface is on top of it")
	}
}

// carried returns those of the links that are on top of one.
func carried(index int, all []netlink.Link) (out []netlink.Link) {
	for _, l := range all {
		// A veth's parent is its peer, by an index of the peer's namespace.
		if l.Attrs().ParentIndex == index && l.Type() != "veth" {
			out = append(out, l)
		}
	}
	return out
}

// hooks refuses what is attached to the device, and can't move to another.
func (p *Plan) hooks(link netlink.Link) {
	name := link.Attrs().Name
	p.none("traffic control", func() ([]string, error) { return queueing(link) },
		"would be lost: remove it (tc qdisc del dev "+name+" root, or clsact or ingress)")
	p.none("nftables", func() ([]string, error) { return netdevChains(name) },
		"hooks into it, and would see nothing: delete the chain")
	p.none("nexthop objects", func() ([]string, error) { return nexthops(p.index) },
		"would be deleted, with the routes that use them: use plain routes")
	p.groups(name)
	rules, err := rulesOf(name)
	switch {
	case err != nil:
		p.add("rules", Refused, "they can't be listed: %v", err)
	case len(rules) > 0:
		p.add("rules", Noted, "%d name it; rules go by name, so they hold for the TAP: %s", len(rules), strings.Join(rules, "; "))
	default:
		p.add("rules", Passed, "none names it")
	}
}

func (p *Plan) none(what string, list func() ([]string, error), reason string) {
	found, err := list()
	switch {
	case err != nil:
		p.add(what, Refused, "can't be listed: %v", err)
	case len(found) > 0:
		p.add(what, Refused, "%s %s", strings.Join(found, ", "), reason)
	default:
		p.add(what, Passed, "nothing is attached to it")
	}
}

// configuration reads what is to be mirrored.
func (p *Plan) configuration(name string) {
	host, err := Read(name)
	if err != nil {
		p.add("configuration", Refused, "%s", strings.TrimPrefix(err.Error(), "takeover: "))
		return
	}
	p.Host = host
	p.add("configuration", Passed, "%d addresses, %d routes, %d fixed neighbours", len(host.Addrs), len(host.Routes), len(host.Neighbors))
	if learnt := learntRoutes(p.index); learnt > 0 {
		p.add("router advertisements", Noted, "%d routes come from them; the kernel asks for them again on the TAP, and on the uplink later", learnt)
	}
	if n := leases(host); n > 0 {
		p.add("leases", Noted, "%d addresses have a lifetime; they keep what is left of it", n)
	}
}

func learntRoutes(index int) int {
	filter := &netlink.Route{LinkIndex: index, Protocol: unix.RTPROT_RA, Table: unix.RT_TABLE_UNSPEC}
	all, err := netlink.RouteListFiltered(netlink.FAMILY_V6, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return 0 // Read has asked for the same, and says so
	}
	return len(all)
}

func leases(s *Snapshot) (n int) {
	for _, a := range s.Addrs {
		if a.Valid != 0 {
			n++
		}
	}
	return n
}
