package bench

import (
	"fmt"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/drivers/mem"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// peers is between how many other nodes the tunnels go to and come from.
const peers = 16

// BenchmarkTunnel is both ends of direct server return, of flows that are known:
// with way=encap, packets to an address of a service go in tunnels to the nodes of
// its backends; with way=decap, packets come in tunnels from there, and go to
// backends here, translated. Receiving and forgetting are part of ns/packet.
func BenchmarkTunnel(b *testing.B) {
	const vip = hdr.Addr4(0xcb007101) // 203.0.113.1
	peer := func(i int) hdr.Addr6 { return nat.Addr4(nodeAddr + 16 + hdr.Addr4(i%peers)) }
	tunnelled(b, nat.Addr4(vip), nat.Addr4(nodeAddr), peer,
		func(flows int) []mem.Packet { return manyTo(packets([]hdr.Addr4{vip}, flows)) },
		func(src, dst hdr.Addr6, payload []byte) []byte {
			h := hdr.IPv4{0: 0x45, 8: 64, 9: hdr.ProtoIPv4}
			h.SetLen(len(h) + len(payload))
			h.SetFrag(hdr.DontFragment)
			h.SetSrc(hdr.Addr4(src.Lo))
			h.SetDst(hdr.Addr4(dst.Lo))
			h.SetChecksum(hdr.Checksum(h[:]))
			return h[:]
		})
}

// BenchmarkTunnel6 is BenchmarkTunnel for IPv6 in IPv6.
func BenchmarkTunnel6(b *testing.B) {
	vip := hdr.Addr6{Hi: 0x20010db8_0101 << 16, Lo: 1}
	peer := func(i int) hdr.Addr6 { return hdr.Addr6{Hi: 0x20010db8 << 32, Lo: 16 + uint64(i%peers)} }
	tunnelled(b, vip, nodeAddr6(), peer,
		func(flows int) []mem.Packet { return manyTo6(packets6([]hdr.Addr6{vip}, flows)) },
		func(src, dst hdr.Addr6, payload []byte) []byte {
			h := hdr.IPv6{0: 0x60, 6: hdr.ProtoIPv6, 7: 64}
			h.SetPayloadLen(len(payload))
			h.SetSrc(src)
			h.SetDst(dst)
			return h[:]
		})
}

func tunnelled(b *testing.B, vip, own hdr.Addr6, peer func(i int) hdr.Addr6, packets func(flows int) []mem.Packet,
	head func(src, dst hdr.Addr6, payload []byte) []byte) {
	for _, flows := range []int{10_000, 100_000} {
		name := fmt.Sprintf("vector=256/flows=%d", flows)
		b.Run("way=encap/"+name, func(b *testing.B) {
			natFlows(b, 256, packets(flows), directly(b, vip, own, peer), false)
		})
		b.Run("way=decap/"+name, func(b *testing.B) {
			in := packets(flows)
			for i := range in {
				p := in[i].Data
				in[i].Data = slices.Concat(p[:hdr.EtherLen], head(peer(i), own, p[hdr.EtherLen:]), p[hdr.EtherLen:])
			}
			natFlows(b, 256, in, directly(b, vip, own, peer), false)
		})
	}
}

// directly gives the node peers, and an address of a service whose backends, here
// and on these, answer clients themselves.
func directly(b *testing.B, vip, own hdr.Addr6, peer func(i int) hdr.Addr6) func(next *state.State) {
	b.Helper()
	all, spec := make([]hdr.Addr6, peers), nat.Spec{DSR: true}
	for i := range all {
		all[i] = peer(i)
		there := nat.Backend{Addr: hdr.Addr6{Hi: vip.Hi, Lo: vip.Lo + 1 + uint64(i)}, Port: 8080, Node: all[i]}
		here := nat.Backend{Addr: hdr.Addr6{Hi: vip.Hi, Lo: there.Addr.Lo + peers}, Port: 8080, Local: true}
		spec.All, spec.Local = append(spec.All, there), append(spec.Local, here)
	}
	e := new(nat.Services).Edit()
	e.Own([]hdr.Addr6{own})
	s, err := nat.NewService(spec)
	if err != nil {
		b.Fatal(err)
	}
	key := nat.FrontKey{Addr: vip, Port: nodePort, Proto: hdr.ProtoUDP}
	if err := e.Set(&nat.Front{Key: key, Kind: nat.LoadBalancer, Service: s}); err != nil {
		b.Fatal(err)
	}
	done := e.Done()
	return func(next *state.State) {
		next.NAT = &state.NAT{Services: done, Statics: new(nat.Statics), Outgoing: new(nat.Outgoing), Peers: nat.NewPeers(all)}
		nodes.SetPolicy(next, next.Policy) // which now has ip4-decap and ip6-decap switched on
	}
}
