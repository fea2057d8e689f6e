package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// Where there are several workers, each has the sessions of some flows, and
// ip4-handoff and ip6-handoff bring packets there. A session stands for both
// directions, so both of its keys have to be its worker's: those of a flow that
// is not translated are, and of one that is the source port is chosen so. What is
// mapped for good keeps its ports; there, the mapped end counts as the inside one
// that it stands for.

// Owner4 returns the worker that has the sessions of a key in the world st.
func Owner4(st *state.State, by *session.Sharding, k session.Key4) int {
	if st.NAT == nil || st.NAT.Statics.None() {
		return by.Of4(k)
	}
	src, sport := inside(st.NAT.Statics, nat.Addr4(k.Src()), k.Proto(), k.SrcPort())
	dst, dport := inside(st.NAT.Statics, nat.Addr4(k.Dst()), k.Proto(), k.DstPort())
	return by.Of4(session.MakeKey4(hdr.Addr4(src.Lo), hdr.Addr4(dst.Lo), sport, dport, k.Proto(), k.Zone()))
}

// owners4 sets out[i] to Owner4 of keys[i].
func owners4(st *state.State, by *session.Sharding, keys []session.Key4, out []uint8) {
	if st.NAT == nil || st.NAT.Statics.None() {
		by.OfVector4(keys, out)
		return
	}
	for i, k := range keys {
		out[i] = uint8(Owner4(st, by, k))
	}
}

// owners6 is owners4 for IPv6.
func owners6(st *state.State, by *session.Sharding, keys []session.Key6, out []uint8) {
	if st.NAT == nil || st.NAT.Statics.None() {
		by.OfVector6(keys, out)
		return
	}
	for i, k := range keys {
		out[i] = uint8(Owner6(st, by, k))
	}
}

// Owner6 is Owner4 for IPv6.
func Owner6(st *state.State, by *session.Sharding, k session.Key6) int {
	if st.NAT == nil || st.NAT.Statics.None() {
		return by.Of6(&k)
	}
	src, sport := inside(st.NAT.Statics, k.Src(), k.Proto(), k.SrcPort())
	dst, dport := inside(st.NAT.Statics, k.Dst(), k.Proto(), k.DstPort())
	k = session.MakeKey6(src, dst, sport, dport, k.Proto(), k.Zone())
	return by.Of6(&k)
}

func inside(s *nat.Statics, a hdr.Addr6, proto uint8, port uint16) (hdr.Addr6, uint16) {
	a, port, _ = s.In(a, proto, port)
	return a, port
}

// ours4 reports whether this worker has the sessions of a key. A single worker has
// all.
func ours4(w *graph.Worker, k session.Key4) bool {
	s := w.Sharding()
	return s == nil || Owner4(w.State, s, k) == w.ID()
}

// ours6 is ours4 for IPv6.
func ours6(w *graph.Worker, k session.Key6) bool {
	s := w.Sharding()
	return s == nil || Owner6(w.State, s, k) == w.ID()
}
