package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

// A FlowFilter selects sessions that fulfill all its conditions. Zero values
// are no conditions.
type FlowFilter struct {
	Src, Dst netip.Prefix // of the packet that opened it
	Port     uint16       // either
	Proto    uint8
	Endpoint string // "default/web" or an interface: it has opened it, or has one of its addresses
}

// A Flow is a session as it is shown.
type Flow struct {
	Proto          uint8
	Src, Dst       netip.AddrPort // of the packet that opened it; ICMP's identifier is a port
	OutSrc, OutDst netip.AddrPort // the same as it leaves, where it is translated
	Tunnel         netip.Addr     // the node that it leaves for in a tunnel, where it does
	Class          session.Class
	Judged         bool   // allowed by the policy that is in force
	Denied         bool   // by a policy that has come since it began: it can't go on
	Rule           string // that allows it, as of now; "" where that is not known
	OpenedBy       string // interface, "" if not known
	Idle, Timeout  time.Duration
	Counts         session.Counts
	Worker         int // whose table has it
}

// FlowStats are the numbers of the workers' tables together.
type FlowStats struct {
	session.Stats
	Matching int // sessions of the filter
}

// filter is a FlowFilter whose endpoint was looked up.
type filter struct {
	FlowFilter
	owner uint16
	addrs []netip.Addr
	all   bool
}

// prepare looks the endpoint of a filter up.
func (c *Control) prepare(f FlowFilter) (out filter, err error) {
	out = filter{FlowFilter: f, all: f == FlowFilter{}}
	if f.Endpoint == "" {
		return out, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.portOf(f.Endpoint)
	if err != nil {
		return out, err
	}
	out.owner = uint16(p.index)
	if p.Kind != iface.Uplink {
		for _, a := range p.peer.Addrs {
			out.addrs = append(out.addrs, a.Addr())
		}
	}
	return out, nil
}

// portOf returns the interface of a name, or of an endpoint's: "default/web".
// c.mu is held.
func (c *Control) portOf(name string) (*port, error) {
	if i, ok := c.index(name); ok {
		return c.ports[i], nil
	}
	for _, p := range c.ports {
		if p == nil {
			continue
		}
		if e := c.endAt(p); e != nil && e.Name == name || p.Kind == iface.Tun && p.workloadName() == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("control: interface or endpoint %q: %w", name, ErrNotFound)
}

func (f *filter) matches(fl *Flow, owner uint16) bool {
	switch {
	case f.all:
	case f.Proto != 0 && f.Proto != fl.Proto,
		f.Port != 0 && f.Port != fl.Src.Port() && f.Port != fl.Dst.Port(),
		f.Src.IsValid() && !f.Src.Contains(fl.Src.Addr()),
		f.Dst.IsValid() && !f.Dst.Contains(fl.Dst.Addr()),
		f.Endpoint != "" && f.owner != owner && !slices.Contains(f.addrs, fl.Src.Addr()) && !slices.Contains(f.addrs, fl.Dst.Addr()):
		return false
	}
	return true
}

// flowOf reads a session. The worker's goroutine calls it.
func flowOf(t *session.Table, i uint32, gen uint32, now uint32) (fl Flow) {
	s := t.At(i)
	fl = Flow{Proto: t.Proto(i), Class: s.Class(), Judged: s.Gen == gen && s.Verdict == session.Allow, Denied: s.Verdict == session.Deny,
		Idle: time.Duration(int32(now-s.Last)) * time.Second, Counts: t.Counts(i)}
	fwd := session.Ref(i << 1)
	var out [2]netip.AddrPort
	if s.IsIPv6() {
		k, o := t.Key6(fwd), t.Out6(fwd)
		fl.Src, fl.Dst = netip.AddrPortFrom(k.Src().Addr(), k.SrcPort()), netip.AddrPortFrom(k.Dst().Addr(), k.DstPort())
		out = [2]netip.AddrPort{netip.AddrPortFrom(o.Src().Addr(), o.SrcPort()), netip.AddrPortFrom(o.Dst().Addr(), o.DstPort())}
	} else {
		k, o := t.Key4(fwd), t.Out4(fwd)
		fl.Src, fl.Dst = netip.AddrPortFrom(k.Src().Addr(), k.SrcPort()), netip.AddrPortFrom(k.Dst().Addr(), k.DstPort())
		out = [2]netip.AddrPort{netip.AddrPortFrom(o.Src().Addr(), o.SrcPort()), netip.AddrPortFrom(o.Dst().Addr(), o.DstPort())}
	}
	if nodes.Tunnelled(s) {
		fl.Tunnel = out[1].Addr()
		return fl
	}
	if out[0] != fl.Src {
		fl.OutSrc = out[0]
	}
	if out[1] != fl.Dst {
		fl.OutDst = out[1]
	}
	return fl
}

// ruledFlows is for how many sessions the rule that allows them is looked up.
const ruledFlows = 1000

// Flows returns up to limit sessions of a filter, all if limit is 0, and how
// many there are. A limit below 0 is for those who only want to know that.
func (c *Control) Flows(ctx context.Context, f FlowFilter, limit int) (out []Flow, st FlowStats, err error) {
	want, err := c.prepare(f)
	if err != nil {
		return nil, st, err
	}
	timeouts := sessionConfig(c.cfg.Sessions, 1).Timeouts
	var owners []uint16
	err = c.walkWorkers(ctx, func(w *graph.Worker, i uint32) bool {
		var gen uint32
		if p := w.State.Policy; p != nil {
			gen = p.Gen
		}
		fl, owner := flowOf(w.Flows.Table, i, gen, w.Second()), w.Flows.At(i).Owner()
		fl.Worker = w.ID()
		if !want.matches(&fl, owner) {
			return true
		}
		if st.Matching++; limit >= 0 && (limit == 0 || len(out) < limit) {
			fl.Timeout = time.Duration(timeouts[fl.Class]) * time.Second
			out, owners = append(out, fl), append(owners, owner)
		}
		return true
	})
	if err != nil {
		return nil, st, err
	}
	c.mu.Lock()
	for i := range out {
		out[i].OpenedBy = c.name(uint32(owners[i]))
		if out[i].Judged && i < ruledFlows {
			out[i].Rule = c.ruleOf(&out[i])
		}
	}
	c.mu.Unlock()
	has, err := c.hasSessions()
	if !has || err != nil {
		return out, st, err
	}
	return out, st, c.doAll(ctx, func(w *graph.Worker) error { st.add(w.Flows.Stats()); return nil })
}

// add adds the numbers of one worker's table.
func (st *FlowStats) add(s session.Stats) {
	st.Capacity += s.Capacity
	st.Sessions += s.Sessions
	st.Soft += s.Soft
	st.Expired += s.Expired
	st.Evicted += s.Evicted
	for i, n := range s.Results {
		st.Results[i] += n
	}
}

// ruleOf says which rule allows a flow now. c.mu is held.
func (c *Control) ruleOf(fl *Flow) string {
	k := fl.key()
	x, err := c.judge(&k, fl.OpenedBy)
	if err != nil {
		return ""
	}
	for _, at := range slices.Backward(x.Asked) { // the far end is of more interest
		if r := x.st.Policy.At(at.Iface).At(at.Gate); r != nil {
			v := r.Program.Match(&k, x.st.Policy.Sets, nil)
			ref := r.Program.Rule(v.Rule)
			if ref.Tier != "" || ref.Policy != "" {
				return fmt.Sprintf("%v of %s: %s", at.Gate, c.endName(at.Iface), refWords(ref))
			}
		}
	}
	return ""
}

// refWords names a rule shortly.
func refWords(ref acl.Ref) string {
	switch {
	case ref.Reason != acl.ByRule:
		return "tier " + ref.Tier
	case ref.Tier == "":
		return fmt.Sprintf("profile %s, rule %d", ref.Policy, ref.Index+1)
	}
	return fmt.Sprintf("%s, rule %d", ref.Policy, ref.Index+1)
}

// key returns what rules look at in the flow's first packet.
func (fl *Flow) key() (k acl.Key) {
	dst := fl.Dst
	if fl.OutDst.IsValid() {
		dst = fl.OutDst
	}
	setKey(&k, fl.Src, dst, fl.Proto)
	switch fl.Proto {
	case hdr.ProtoICMP:
		k.SetICMP(hdr.ICMPEcho, 0)
	case hdr.ProtoICMPv6:
		k.SetICMP(hdr.ICMP6EchoRequest, 0)
	}
	return k
}

func setKey(k *acl.Key, src, dst netip.AddrPort, proto uint8) {
	if src.Addr().Is4() {
		k.Set4(hdr.Addr4From(src.Addr()), hdr.Addr4From(dst.Addr()), proto, src.Port(), dst.Port())
		return
	}
	k.Set6(hdr.Addr6From(src.Addr()), hdr.Addr6From(dst.Addr()), proto, src.Port(), dst.Port())
}

// ClearFlows forgets the sessions of a filter, and returns how many. Their next
// packets are judged as those of new flows. Nothing else is kept of a flow: the
// port that it was translated to is free with its session (nat.Ports).
func (c *Control) ClearFlows(ctx context.Context, f FlowFilter) (cleared int, err error) {
	want, err := c.prepare(f)
	if err != nil {
		return 0, err
	}
	err = c.walkSessions(ctx, func(t *session.Table, i uint32) bool {
		fl := flowOf(t, i, 0, 0)
		if want.matches(&fl, t.At(i).Owner()) {
			t.Delete(i)
			cleared++
		}
		return true
	})
	return cleared, err
}
