package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// What ip4-open and ip6-open have in common.

// openArcs are the ways out of ip4-open and ip6-open.
func openArcs(ip, resolve string) []graph.To {
	return []graph.To{
		openForward:   {Reason: "forward", Node: ip + "-rewrite"},
		openResolve:   {Reason: "resolve", Node: resolve},
		openLocal:     {Reason: "local", Node: ip + "-local"},
		openPunt:      {Reason: "punt", Node: ip + "-punt"},
		openFull:      {Reason: ip + " session table is full", Node: graph.Drop},
		openQuota:     {Reason: ip + " sender has too many sessions", Node: graph.Drop},
		openHalf:      {Reason: ip + " sender has too many half-open sessions", Node: graph.Drop},
		openMidstream: {Reason: ip + " tcp of no session, and it opens none", Node: graph.Drop},
		openPorts:     {Reason: ip + " no port left for source translation", Node: graph.Drop},
		openUnfixable: {Reason: ip + " checksum can't be made to fit a new source", Node: graph.Drop},
		openConflict:  {Reason: ip + " answer would be of another session", Node: graph.Drop},
	}
}

// The ways out of ip4-open and ip6-open.
const (
	_ graph.Arc = iota
	openForward
	openResolve
	openLocal
	openPunt
	openFull      // no place, and no session that may be given up
	openQuota     // OwnerStats says of whom
	openHalf      //
	openMidstream // such as a reset; see session.Config.Midstream
	openPorts     // Ports.Stats says for whom
	openUnfixable // the first fragment of SCTP, see nat.Unfixable
	openConflict  // one of them is translated, of a time when there was NAT
)

// openArc is the way out for each kind of adjacency.
var openArc = [fib.NumKinds]graph.Arc{
	fib.Forward: openForward,
	fib.Resolve: openResolve,
	fib.Glean:   openResolve,
	fib.Local:   openLocal,
	fib.Punt:    openPunt,
}

// refusal is the way to drop the packet of a session that could not be made; 0
// if it was, or was there.
var refusal = [session.NumResults]graph.Arc{
	session.Conflict:  openConflict,
	session.Full:      openFull,
	session.OverQuota: openQuota,
	session.OverHalf:  openHalf,
	session.Midstream: openMidstream,
	session.Crowded:   openFull, // as good as: the index has no place
}

// walkOf returns the source ports that a translated flow may take. An address of
// the node's has those of nat.Ports only.
func walkOf(ports *nat.Ports, f *nat.PortFlow, flags uint16) nat.PortWalk {
	if flags&flagMasqueraded != 0 {
		return ports.Walk(f)
	}
	return ports.WalkClass(f)
}

// allow makes r a session that policy has allowed.
func allow(w *graph.Worker, r session.Ref, flags uint16, data [2]uint32) {
	s := w.Flows.At(r.Index())
	s.Gen, s.Verdict = w.State.Policy.Gen, session.Allow
	s.Flags |= flags
	if data != [2]uint32{} {
		*w.Flows.Data(r &^ session.Reverse), *w.Flows.Data(r | session.Reverse) = data[0], data[1]
	}
}

// renew lets a session go on that was judged again. A table that comes from a
// file may have other owners.
func renew(w *graph.Worker, b *buf.Buffer, r session.Ref, flags uint16, data [2]uint32) {
	if owner := ownerOf(b); r.Dir() == session.Forward && w.Flows.At(r.Index()).Owner() != owner {
		w.Flows.SetOwner(r.Index(), owner)
	}
	allow(w, r, flags, data)
	b.Flow = uint32(r)
}

// ownerOf returns whose quota a session counts against that b opens: that of
// the interface it came in by. Beyond 65,535 some share one.
func ownerOf(b *buf.Buffer) uint16 { return uint16(b.RxIf) }
