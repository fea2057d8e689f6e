package control

import (
	"context"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

// goneBackends are backends that UDP flows were given, and that no new ones are:
// unlike TCP's these flows would go on for ever, to nobody.
type goneBackends struct {
	ends  map[netip.AddrPort]bool
	nodes map[goneNode]bool
}

// A goneNode is a node that has no backend any more of a service that answers
// directly.
type goneNode struct {
	front netip.AddrPort // 0.0.0.0 or :: stand for any address of this node
	node  netip.Addr
}

func newGone() goneBackends {
	return goneBackends{map[netip.AddrPort]bool{}, map[goneNode]bool{}}
}

// note adds those that were there and are not now.
func (g *goneBackends) note(was, now *nat.Services) {
	for f := range was.All {
		if f.Key.Proto != hdr.ProtoUDP {
			continue
		}
		next := now.Find(&f.Key)
		if next != nil && next.Service == f.Service {
			continue
		}
		for _, b := range f.Service.Backends() {
			if next == nil || !hasBackend(next.Service, b.Addr, b.Port) {
				g.ends[netip.AddrPortFrom(b.Addr.Addr().Unmap(), b.Port)] = true
			}
			if !b.Node.IsUnspecified() && (next == nil || !hasNode(next.Service, b.Node)) {
				g.nodes[goneNode{netip.AddrPortFrom(f.Key.Addr.Addr().Unmap(), f.Key.Port), b.Node.Addr().Unmap()}] = true
			}
		}
	}
}

func hasBackend(s *nat.Service, a hdr.Addr6, port uint16) bool {
	is := func(b nat.Backend) bool { return b.Addr == a && b.Port == port }
	return slices.ContainsFunc(s.All, is) || slices.ContainsFunc(s.Local, is)
}

func hasNode(s *nat.Service, a hdr.Addr6) bool {
	return slices.ContainsFunc(s.All, func(b nat.Backend) bool { return b.Node == a })
}

// tunnelled reports whether a flow that was sent to an address and leaves for a
// node is one that is to be forgotten.
func (g *goneBackends) tunnelled(to netip.AddrPort, node netip.Addr) bool {
	any := netip.IPv4Unspecified()
	if to.Addr().Is6() {
		any = netip.IPv6Unspecified()
	}
	return g.nodes[goneNode{to, node}] || g.nodes[goneNode{netip.AddrPortFrom(any, to.Port()), node}]
}

// forgetFlowsTo forgets flows over UDP that a service has given to one of these
// backends.
func (c *Control) forgetFlowsTo(ctx context.Context, gone goneBackends) error {
	if len(gone.ends)+len(gone.nodes) == 0 {
		return nil
	}
	return c.walkSessions(ctx, func(t *session.Table, i uint32) bool {
		switch from, to, udp := translatedTo(t, i); {
		case !udp:
		case nodes.Tunnelled(t.At(i)):
			if gone.tunnelled(from, to.Addr()) {
				t.Delete(i)
			}
		case from != to && gone.ends[to]:
			t.Delete(i)
		}
		return true
	})
}

// translatedTo returns where the packets of a session were sent, and where they
// go.
func translatedTo(t *session.Table, i uint32) (from, to netip.AddrPort, udp bool) {
	forward := session.Ref(i<<1 | session.Forward)
	if t.At(i).IsIPv6() {
		k, out := t.Key6(forward), t.Out6(forward)
		return netip.AddrPortFrom(k.Dst().Addr(), k.DstPort()), netip.AddrPortFrom(out.Dst().Addr(), out.DstPort()), k.Proto() == hdr.ProtoUDP
	}
	k, out := t.Key4(forward), t.Out4(forward)
	return netip.AddrPortFrom(k.Dst().Addr(), k.DstPort()), netip.AddrPortFrom(out.Dst().Addr(), out.DstPort()), k.Proto() == hdr.ProtoUDP
}
