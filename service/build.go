package service

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

// addr6 returns an address as nat has it.
func addr6(a netip.Addr) hdr.Addr6 { return hdr.Addr6From(a) }

// anyOf returns what stands for any address of the node of a family.
func anyOf(v6 bool) hdr.Addr6 {
	if v6 {
		return hdr.Addr6{}
	}
	return nat.Addr4(0)
}

// An end is an endpoint's address and port.
type end struct {
	Endpoint
	port uint16
}

// ends returns the endpoints of a port and family of a service, each once, and
// notes those that can't be any.
func (t *Table) ends(o *owned, p *Port, v6 bool) (out []end) {
	seen := map[netip.AddrPort]bool{}
	for _, name := range sorted(t.slicesOf[o.ref]) {
		s := t.slices[name]
		if s.FQDN || s.IPv6 != v6 {
			continue
		}
		for _, sp := range s.Ports {
			if sp.Name != p.Name || sp.Proto != p.Proto {
				continue
			}
			if sp.Port == 0 {
				o.alarm(s.Place, "%s: port %q of EndpointSlice %s has no number: its endpoints are left out", o.ref, sp.Name, s.Name)
				continue
			}
			for _, e := range s.Endpoints {
				if why := t.unfit(e.Addr); why != "" {
					o.alarm(s.Place, "%s: endpoint %v of EndpointSlice %s %s: it is left out", o.ref, e.Addr, s.Name, why)
				} else if at := netip.AddrPortFrom(e.Addr, sp.Port); !seen[at] {
					seen[at] = true
					out = append(out, end{e, sp.Port})
				}
			}
		}
	}
	return out
}

// unfit says why an address can be no endpoint's; "" if it can.
func (t *Table) unfit(a netip.Addr) string {
	switch {
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast():
		return "is no address that others reach"
	case t.world.Known != nil && !slices.ContainsFunc(t.world.Known, func(p netip.Prefix) bool { return p.Contains(a) }):
		return "is in no prefix known"
	}
	return ""
}

// choose returns those that new flows may go to: the ready ones, or if there is
// none those that go on serving while they shut down (KEP-1669). Those of
// others' zones are left out if every ready one says which zones it is for and
// some are for this one (as kube-proxy does; KEP-2433).
func (t *Table) choose(all []end, hints bool) (out []end) {
	for _, e := range all {
		if e.Ready && !e.Terminating {
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		for _, e := range all {
			if e.Serving && e.Terminating {
				out = append(out, e)
			}
		}
		return out
	}
	if !hints || t.world.Zone == "" || slices.ContainsFunc(out, func(e end) bool { return len(e.ForZones) == 0 }) {
		return out
	}
	var near []end
	for _, e := range out {
		if slices.Contains(e.ForZones, t.world.Zone) {
			near = append(near, e)
		}
	}
	if len(near) > 0 {
		return near
	}
	return out
}

// A group is what one port of a service is in one family.
type group struct {
	port string
	v6   bool
}

// group makes the nat.Service of a port and family, or returns the one that
// there is if it is the same.
func (t *Table) group(o *owned, p *Port, v6 bool) *nat.Service {
	s := o.service
	all := t.ends(o, p, v6)
	local := slices.DeleteFunc(slices.Clone(all), func(e end) bool { return e.Node != t.world.Node || e.Node == "" })
	spec := nat.Spec{
		Name: o.ref, All: t.backends(o, t.choose(all, true)), Local: t.backends(o, t.choose(local, false)),
		ExternalLocal: s.ExternalLocal, InternalLocal: s.InternalLocal, Affinity: uint32(s.Affinity / time.Second),
		Maglev: s.Maglev, MasqueradeExternal: s.MasqueradeExternal, DSR: s.DSR, Sources: ranges(s.Sources, v6),
	}
	if p.Name != "" {
		spec.Name += ":" + p.Name
	}
	g := group{p.Name, v6}
	was := o.groups[g]
	if t.keepsGoing(o, was, &spec) {
		o.alarm(s.Place, "%s: no endpoint is left of the API server: the last ones known are kept", o.ref)
	}
	return t.settle(o, g, was, spec)
}

// settle makes a Service of a Spec, or returns was if that is the same.
func (t *Table) settle(o *owned, g group, was *nat.Service, spec nat.Spec) *nat.Service {
	if was == nil {
		t.lastID++
		spec.ID = t.lastID
	} else {
		spec.ID = was.ID
		keepHits(was, spec.All)
		keepHits(was, spec.Local)
	}
	shareHits(spec.All, spec.Local)
	next, err := nat.NewService(spec)
	if err != nil {
		o.alarm(o.place, "%v: the first %d are used", err, nat.MaxBackends)
		spec.All, spec.Local = first(spec.All), first(spec.Local)
		if next, err = nat.NewService(spec); err != nil {
			return was // not with so many
		}
	}
	if was != nil && same(was, next) {
		return was
	}
	if o.groups == nil {
		o.groups = map[group]*nat.Service{}
	}
	o.groups[g] = next
	return next
}

func first(b []nat.Backend) []nat.Backend { return b[:min(len(b), nat.MaxBackends)] }

// keepsGoing puts the backends that were into the spec if it is that of the API
// server and has none.
func (t *Table) keepsGoing(o *owned, was *nat.Service, spec *nat.Spec) bool {
	if o.ref != t.world.APIServer || was == nil || len(spec.All) > 0 || len(was.All) == 0 {
		return false
	}
	spec.All, spec.Local = slices.Clone(was.All), slices.Clone(was.Local)
	return true
}

func (t *Table) backends(o *owned, ends []end) []nat.Backend {
	out := make([]nat.Backend, 0, len(ends))
	for i := range ends {
		e := &ends[i]
		out = append(out, nat.Backend{Addr: addr6(e.Addr), Port: e.port, Local: e.Node != "" && e.Node == t.world.Node, Node: t.nodeOf(o, e)})
	}
	return out
}

type backendKey struct {
	addr hdr.Addr6
	port uint16
}

// keepHits gives backends the counters that they had, so that they go on.
func keepHits(was *nat.Service, next []nat.Backend) {
	had := map[backendKey]*uint64{}
	for _, b := range was.Backends() {
		had[backendKey{b.Addr, b.Port}] = b.Hits
	}
	for i := range next {
		next[i].Hits = had[backendKey{next[i].Addr, next[i].Port}]
	}
}

// shareHits gives backends that stand in both lists one counter.
func shareHits(all, local []nat.Backend) {
	has := map[backendKey]*uint64{}
	for _, list := range [][]nat.Backend{all, local} {
		for i := range list {
			k := backendKey{list[i].Addr, list[i].Port}
			if has[k] == nil {
				if has[k] = list[i].Hits; has[k] == nil {
					has[k] = new(uint64)
				}
			}
			list[i].Hits = has[k]
		}
	}
}

func same(a, b *nat.Service) bool {
	x, y := a.Spec, b.Spec
	return slices.Equal(x.All, y.All) && slices.Equal(x.Local, y.Local) && slices.Equal(x.Sources, y.Sources) &&
		(x.Sources == nil) == (y.Sources == nil) && x.ID == y.ID && x.Name == y.Name && x.Affinity == y.Affinity &&
		x.ExternalLocal == y.ExternalLocal && x.InternalLocal == y.InternalLocal &&
		x.Maglev == y.Maglev && x.DSR == y.DSR && x.MasqueradeExternal == y.MasqueradeExternal
}

// ranges returns the prefixes of a family; not nil if there are any prefixes.
func ranges(prefixes []netip.Prefix, v6 bool) []nat.Range {
	if len(prefixes) == 0 {
		return nil
	}
	out := []nat.Range{}
	for _, p := range prefixes {
		if p.Addr().Is6() == v6 {
			out = append(out, nat.RangeOf(p))
		}
	}
	return out
}

// fronts returns what a service claims.
func (t *Table) fronts(o *owned) (out []*claim) {
	s := o.service
	for i := range s.Ports {
		p := &s.Ports[i]
		built := map[bool]*nat.Service{}
		add := func(kind nat.Kind, a hdr.Addr6, port uint16) {
			v6 := !a.IsMapped4()
			if built[v6] == nil {
				built[v6] = t.group(o, p, v6)
			}
			key := nat.FrontKey{Addr: a, Port: port, Proto: p.Proto}
			out = append(out, &claim{owner: o, front: &nat.Front{Key: key, Kind: kind, Service: built[v6]}})
		}
		for _, v := range s.vips() {
			if t.isVIP(o, v.kind, v.addr) {
				add(v.kind, addr6(v.addr), p.Port)
			}
		}
		if p.NodePort != 0 && s.Type != "ClusterIP" {
			for _, v6 := range families(s.ClusterIPs) {
				add(nat.NodePort, anyOf(v6), p.NodePort)
			}
		}
	}
	return once(out)
}

// A vip is an address that a service would have.
type vip struct {
	kind nat.Kind
	addr netip.Addr
}

func (s *Service) vips() (out []vip) {
	for _, a := range s.ClusterIPs {
		out = append(out, vip{nat.ClusterIP, a})
	}
	for _, a := range s.ExternalIPs {
		out = append(out, vip{nat.ExternalIP, a})
	}
	for _, a := range s.Ingress {
		out = append(out, vip{nat.LoadBalancer, a})
	}
	return out
}

// once leaves one of several claims of one owner to one key: that of the kind
// that comes first.
func once(in []*claim) (out []*claim) {
	slices.SortStableFunc(in, func(a, b *claim) int { return int(a.front.Kind) - int(b.front.Kind) })
	has := map[nat.FrontKey]bool{}
	for _, c := range in {
		if !has[c.front.Key] {
			has[c.front.Key] = true
			out = append(out, c)
		}
	}
	return out
}

// families returns whether addresses are of IPv6, each family once.
func families(addrs []netip.Addr) (v6 []bool) {
	for _, a := range addrs {
		if !slices.Contains(v6, a.Is6()) {
			v6 = append(v6, a.Is6())
		}
	}
	return v6
}

// isVIP reports whether an address can be a service's, and notes why not.
func (t *Table) isVIP(o *owned, kind nat.Kind, a netip.Addr) bool {
	why := ""
	switch {
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast():
		why = "can be no service's"
	case t.pods[a] > 0:
		why = "is a pod's"
	case kind == nat.ClusterIP && slices.Contains(t.world.Own, a):
		why = "is the node's own"
	}
	if why == "" {
		return true
	}
	o.alarm(o.place, "%s: %v %v %s: it is left out", o.ref, kind, a, why)
	return false
}

// hostPort returns what a pod's port on the node claims.
func (t *Table) hostPort(o *owned) *claim {
	h := o.hostPort
	a := anyOf(h.Addr.Is6())
	if h.HostIP.IsValid() && !h.HostIP.IsUnspecified() {
		a = addr6(h.HostIP)
	}
	if h.Host == 0 || h.Port == 0 || !h.Addr.IsValid() || h.HostIP.IsValid() && h.HostIP.Is6() != h.Addr.Is6() {
		o.alarm(o.place, "%s: hostPort %d to %v port %d: it is left out", o.ref, h.Host, h.Addr, h.Port)
		return nil
	}
	b := []nat.Backend{{Addr: addr6(h.Addr), Port: h.Port, Weight: h.Weight, Local: true}}
	g := group{fmt.Sprint(h.Host), h.Addr.Is6()}
	svc := t.settle(o, g, o.groups[g], nat.Spec{Name: "hostPort of " + h.Pod, All: b, Local: slices.Clone(b)})
	return &claim{owner: o, front: &nat.Front{Key: nat.FrontKey{Addr: a, Port: h.Host, Proto: h.Proto}, Kind: nat.HostPort, Service: svc}}
}
