package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// An Explanation says what becomes of a packet, and why.
type Explanation struct {
	Interface string // it comes in by
	Steps     []Step // in order
	Passes    bool
	Verdict   string
}

// A Step is one thing that is decided about a packet.
type Step struct{ What, Text string }

func (x *Explanation) add(what, format string, args ...any) {
	x.Steps = append(x.Steps, Step{what, fmt.Sprintf(format, args...)})
}

func (x *Explanation) end(passes bool, format string, args ...any) *Explanation {
	x.Passes, x.Verdict = passes, fmt.Sprintf(format, args...)
	return x
}

// Explain says what becomes of a packet that starts at its IP header. in is the
// interface that it comes in by; "" stands for that behind which its source is.
// Nothing is sent or counted. What is wrong with the packet itself is not looked
// at.
func (c *Control) Explain(ctx context.Context, packet []byte, in string) (*Explanation, error) {
	p, err := readPacket(packet)
	if err != nil {
		return nil, err
	}
	known, err := c.sessionOf(ctx, &p)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	j, err := c.judge(&p.key, in)
	if err != nil {
		return nil, err
	}
	x := &Explanation{Interface: c.name(j.rx)}
	x.add("received", "on %s", c.placeName(j.rx))
	if why := c.refused(x, j, &p); why != "" {
		return x.end(false, "%s", why), nil
	}
	if !known.found {
		x.add("session", "none: it opens a flow")
		return x, c.tellNew(x, j, &p.key)
	}
	x.add("session", "%s", known.words())
	if known.reverse { // judged as the flow it belongs to
		k := known.key
		back, err := c.judge(&k, "")
		if err != nil {
			return nil, err
		}
		x.add("route", "%s", j.route)
		c.tell(x, back, &k, false)
		return x, nil
	}
	c.tell(x, j, &p.key, true)
	return x, nil
}

// tellNew adds what becomes of a packet that opens a flow: where it is sent, what
// both ends say to that, and by which address it leaves. c.mu is held.
func (c *Control) tellNew(x *Explanation, j judgement, k *acl.Key) error {
	to, why := j.redirect(x, k)
	if why != "" {
		x.end(false, "dropped: %s", why)
		return nil
	}
	masked := j.masked
	j, err := c.judgeTo(k, j.st.Ifaces[j.rx].Name, to)
	if err != nil {
		return err
	}
	if j.masked = masked; c.tell(x, j, k, true).Passes {
		j.leave(x, k)
	}
	return nil
}

// A judgement is what the data plane makes of a packet.
type judgement struct {
	nodes.Opinion
	st    *state.State
	rx    uint32
	adj   fib.Adj
	route string

	masked bool // a service wants a source of the node
}

// judge has the data plane's code judge a packet. c.mu is held.
func (c *Control) judge(k *acl.Key, in string) (j judgement, err error) {
	return c.judgeTo(k, in, netip.Addr{})
}

// judgeTo does so for one that is sent to another address than it says, if that
// is valid. c.mu is held.
func (c *Control) judgeTo(k *acl.Key, in string, dst netip.Addr) (j judgement, err error) {
	j.st = c.pub.Load()
	src := keyAddr(k.Src)
	if !dst.IsValid() {
		dst = keyAddr(k.Dst)
	}
	back, _ := c.adjOf(j.st, src)
	switch i, there := c.index(in); {
	case there:
		j.rx = i
	case in != "":
		p, err := c.portOf(in)
		if err != nil {
			return j, err
		}
		j.rx = p.index
	case c.name(back.Iface) != "":
		j.rx = back.Iface
	default:
		return j, fmt.Errorf("control: %w: %s is behind no interface: say which one it comes in by", ErrInvalid, src)
	}
	j.adj, j.route = c.adjOf(j.st, dst)
	j.Opinion = nodes.AskPolicy(j.st, j.rx, &j.adj, k)
	return j, nil
}

func keyAddr(a hdr.Addr6) netip.Addr { return a.Addr().Unmap() }

// adjOf returns the way to an address, and the route in words. c.mu is held.
func (c *Control) adjOf(st *state.State, a netip.Addr) (adj fib.Adj, words string) {
	name := func(i uint32) string { return c.placeName(i) }
	if a.Is4() {
		i := st.FIB4.Lookup(hdr.Addr4From(a), 0)
		adj, words = *st.FIB4.Adj(i), st.FIB4.Describe(i, name)
	} else {
		i := st.FIB6.Lookup(hdr.Addr6From(a), 0)
		adj, words = *st.FIB6.Adj(i), st.FIB6.Describe(i, name)
	}
	if e, ok := c.rib.Lookup(a); ok {
		words = e.Route.Prefix.String() + ": " + words
	}
	return adj, words
}

// placeName names an interface, and who is there if policy knows: "tun0
// (default/web)". c.mu is held.
func (c *Control) placeName(i uint32) string {
	name := c.name(i)
	if p := c.policies.last; c.policies.active && p != nil && p.At(i) != nil && p.At(i).Name != name {
		name += " (" + p.At(i).Name + ")"
	}
	return name
}

// endName names who is at an interface. c.mu is held.
func (c *Control) endName(i uint32) string {
	if p := c.policies.last; p != nil && p.At(i) != nil {
		return p.At(i).Name
	}
	return c.name(i)
}

// refused adds what comes before sessions, and returns why the packet ends
// there; "" if it does not. c.mu is held.
func (c *Control) refused(x *Explanation, j judgement, p *packet) string {
	in := c.ports[j.rx]
	if in.Kind == iface.Uplink {
		for _, d := range c.deny.all {
			if d.Contains(p.src) {
				x.add("deny list", "%s is in %s", p.src, d)
				return "dropped: the deny list has its source"
			}
		}
	}
	if c.checksSources(in, p.src) {
		back, words := c.adjOf(j.st, p.src)
		if behind := back.Kind == fib.Forward || back.Kind == fib.Resolve || back.Kind == fib.Glean; !behind || back.Iface != j.rx {
			x.add("source check", "%s is not behind %s, but %s", p.src, in.Name, words)
			return "dropped: its source is not behind " + in.Name
		}
		x.add("source check", "%s is behind %s", p.src, in.Name)
	}
	for _, at := range j.Asked {
		if early(at.Gate) {
			c.addGate(x, at, &p.key)
		}
	}
	if j.Drop != "" && len(j.Asked) > 0 && early(j.Asked[len(j.Asked)-1].Gate) {
		return "dropped: " + j.Drop
	}
	return ""
}

// early reports whether a gate is asked before sessions are.
func early(g state.Gate) bool {
	return g == state.GateIn || g == state.GateUntrackedFrom || g == state.GateUntrackedTo
}

// checksSources reports whether an interface takes packets from what is behind
// it only.
func (c *Control) checksSources(p *port, src netip.Addr) bool {
	arc, feature := nodes.IP6UnicastArc, nodes.IP6SourceCheck.Name
	if src.Is4() {
		arc, feature = nodes.IP4UnicastArc, nodes.IP4SourceCheck.Name
	}
	return slices.Contains(arc.Names(p.Feat[arc.ID]), feature)
}

// tell adds the route and what both ends say, and the verdict. c.mu is held.
func (c *Control) tell(x *Explanation, j judgement, k *acl.Key, route bool) *Explanation {
	if route {
		x.add("route", "%s", j.route)
	}
	switch j.adj.Kind {
	case fib.NoRoute, fib.Unreachable, fib.Prohibit:
		return x.end(false, "dropped, and its sender is told: %s", j.route)
	case fib.Blackhole:
		return x.end(false, "dropped: the route is a blackhole")
	}
	if j.Untracked {
		return x.end(true, "passes, without a session")
	}
	for _, at := range j.Asked {
		if !early(at.Gate) {
			c.addGate(x, at, k)
		}
	}
	c.addSilent(x, j, k)
	if j.Drop != "" {
		return x.end(false, "dropped: %s", j.Drop)
	}
	return x.end(true, "passes")
}

// directions are what policy calls the gates.
var directions = map[state.Gate]policy.Direction{state.GateFrom: policy.Egress, state.GateTo: policy.Ingress,
	state.GateForwardFrom: policy.ForwardEgress, state.GateForwardTo: policy.ForwardIngress, state.GatePreDNAT: policy.PreDNAT,
	state.GateUntrackedFrom: policy.UntrackedEgress, state.GateUntrackedTo: policy.UntrackedIngress}

// addGate adds what is said at one gate. c.mu is held.
func (c *Control) addGate(x *Explanation, at nodes.AskedAt, k *acl.Key) {
	what := fmt.Sprintf("%v of %s", at.Gate, c.endName(at.Iface))
	if at.Gate == state.GateIn || at.Gate == state.GateOut {
		addList(x, what, c.policies.last.At(at.Iface).At(at.Gate), k)
		return
	}
	e := c.endAt(c.ports[at.Iface])
	d, ours := directions[at.Gate]
	if e == nil || !ours {
		return
	}
	said, err := c.policies.engine.Explain(e.ID, d, k)
	if err != nil {
		x.add(what, "%v", err)
		return
	}
	verb := "denied"
	switch {
	case said.Verdict.Action == acl.Allow:
		verb = "allowed"
	case early(at.Gate) && said.Verdict.Reason != acl.ByRule, at.Gate == state.GatePreDNAT && said.Verdict.Reason != acl.ByRule:
		verb = "no matter"
	}
	x.add(what, "%s: %s", verb, said.Text)
}

// addSilent says why an end that has a policy was not asked. c.mu is held.
func (c *Control) addSilent(x *Explanation, j judgement, k *acl.Key) {
	if j.st.Policy == nil || j.st.Policy.Stateless {
		x.add("policy", "there is none: everything passes")
		return
	}
	from, to := c.ports[j.rx], c.portAt(j.adj.Iface)
	if j.Drop != "" || to == nil || from == nil {
		return
	}
	pods := 0
	for _, p := range []*port{from, to} {
		if p.Kind == iface.Tun {
			pods++
		}
	}
	switch {
	case from == to && pods > 0:
		x.add("policy", "%s reaches itself whatever policy says", c.endName(from.index))
		return
	case pods == 1 && j.st.Policy.NodePasses && (from.Kind == iface.Tap || to.Kind == iface.Tap || j.adj.Kind == fib.Local):
		x.add("policy", "a pod and the host of its node reach each other whatever policy says (policy.node is allow)")
		return
	}
	for _, end := range []struct {
		p *port
		g state.Gate
	}{{from, state.GateFrom}, {to, state.GateTo}} {
		if end.p.Kind == iface.Tun && !slices.Contains(j.Asked, nodes.AskedAt{Iface: end.p.index, Gate: end.g}) {
			c.addGate(x, nodes.AskedAt{Iface: end.p.index, Gate: end.g}, k)
		}
	}
}

// portAt returns the interface of an index, nil if there is none. c.mu is held.
func (c *Control) portAt(i uint32) *port {
	if int(i) < len(c.ports) {
		return c.ports[i]
	}
	return nil
}

// A packet is what sessions and rules look at.
type packet struct {
	src, dst netip.Addr
	key      acl.Key
	part     session.Part
	v4       session.Packet4
	v6       session.Packet6
}

// readPacket reads a packet that starts at its IP header.
func readPacket(b []byte) (p packet, err error) {
	switch {
	case len(b) >= hdr.IPv4Len && b[0]>>4 == 4:
		p.part = session.Parse4(b, 0, &p.v4)
		h := (*hdr.IPv4)(b)
		p.key.Set4(h.Src(), h.Dst(), h.Protocol(), p.v4.Key.SrcPort(), p.v4.Key.DstPort())
	case len(b) >= hdr.IPv6Len && b[0]>>4 == 6:
		p.part = session.Parse6(b, 0, &p.v6)
		h, proto := (*hdr.IPv6)(b), p.v6.Key.Proto()
		if p.part == session.Related {
			proto = hdr.ProtoICMPv6
		}
		p.key.Set6(h.Src(), h.Dst(), proto, p.v6.Key.SrcPort(), p.v6.Key.DstPort())
	default:
		return p, fmt.Errorf("control: %w: a packet of IPv4 or IPv6 was expected", ErrInvalid)
	}
	p.src, p.dst = keyAddr(p.key.Src), keyAddr(p.key.Dst)
	switch at := upperAt(b); {
	case p.part == session.Bad:
		return p, fmt.Errorf("control: %w: its transport header is short or contradictory, so it is dropped", ErrInvalid)
	case p.part == session.Later:
		p.key.Flags |= acl.NoPorts
	case isICMP(p.key.Proto) && at+1 < len(b):
		p.key.SrcPort, p.key.DstPort = 0, 0
		p.key.SetICMP(b[at], b[at+1])
	}
	return p, nil
}
