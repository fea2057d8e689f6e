package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
)

// InterfaceOutput brings a packet to the device of its interface, by way of
// the features of the interface-output arc if it has any.
//
// In: TxIf is set; the packet starts at its link header, if the interface has
// one.
// Out: the same, and the device takes the packet's offload as it is.
var InterfaceOutput = graph.Spec{
	Name:     "interface-output",
	Arcs:     outputArcs,
	On:       InterfaceOutputArc,
	New:      func() graph.Node { return interfaceOutput{} },
	Describe: describeOutput,
}

// InterfaceTx does what InterfaceOutput does, after the last feature of the
// interface-output arc.
var InterfaceTx = graph.Spec{
	Name:     "interface-tx",
	Arcs:     outputArcs,
	New:      func() graph.Node { return interfaceTx{} },
	Describe: describeOutput,
}

var outputArcs = []graph.To{
	outUplink:  {Reason: "to uplink", Node: "uplink-output"},
	outTap:     {Reason: "to tap", Node: "tap-output"},
	outTun:     {Reason: "to tun", Node: "tun-output"},
	outSegment: {Reason: "segment", Node: "gso-segment"},
	outDown:    {Reason: "interface is down", Node: graph.Drop},
	outSum:     {Reason: "checksum offload does not fit the packet", Node: graph.Drop},
	outTooBig:  {Reason: "bridged frame exceeds the MTU", Node: graph.Drop},
}

// The ways out of interface-output and interface-tx.
const (
	_          graph.Arc = iota
	outUplink            // by kind of interface
	outTap               //
	outTun               //
	outSegment           // a superpacket that the device does not take
	outDown              // or gone
	outSum               // a device has told nonsense about a packet
	outTooBig            // RFC 1812 leaves bridged frames nobody to tell
)

// outputArc is the way out for each kind of interface.
var outputArc = [4]graph.Arc{iface.None: outDown, iface.Uplink: outUplink, iface.Tap: outTap, iface.Tun: outTun}

type interfaceOutput struct{}

func (interfaceOutput) Process(w *graph.Worker, v *graph.Vector) {
	ifaces := w.State.Ifaces
	for i, b := range v.Bufs() {
		out := &ifaces[b.TxIf]
		if mask := out.Feat[iface.InterfaceOutput]; mask&^iface.FeatEnd != 0 {
			b.Feat = mask
			v.Arc[i] = graph.NextFeature(b)
			continue
		}
		if v.Arc[i] = outputArc[out.Kind&3]; !plain(b, out) {
			v.Arc[i] = transmit(b, out)
		}
	}
}

type interfaceTx struct{}

func (interfaceTx) Process(w *graph.Worker, v *graph.Vector) {
	ifaces := w.State.Ifaces
	for i, b := range v.Bufs() {
		out := &ifaces[b.TxIf]
		if v.Arc[i] = outputArc[out.Kind&3]; !plain(b, out) {
			v.Arc[i] = transmit(b, out)
		}
	}
}

// plain reports whether the device takes the packet as it is, which is the
// usual case and costs no call.
func plain(b *buf.Buffer, out *iface.Iface) bool {
	return out.Up && b.Flags&(buf.CsumPartial|buf.Bridged) == 0 && b.GSOType == buf.GSONone
}

// transmit returns the arc to the device, or to where the packet is made fit
// for it.
func transmit(b *buf.Buffer, out *iface.Iface) graph.Arc {
	if !out.Up {
		return outDown
	}
	if arc := fit(b, out); arc != 0 {
		return arc
	}
	return outputArc[out.Kind&3]
}

// fit makes the packet one that the device takes, or says where that is done.
func fit(b *buf.Buffer, out *iface.Iface) graph.Arc {
	if b.Flags&buf.Bridged != 0 && b.GSOType == buf.GSONone && b.Len() > int(out.MTU)+hdr.EtherLen && b.Len()-hdr.LinkLen(b.Bytes()) > int(out.MTU) {
		return outTooBig
	}
	if need := gsoOffload(b.GSOType); need&^out.Offload != 0 {
		return outSegment
	}
	if b.Flags&buf.CsumPartial != 0 && out.Offload&sumOffload(b) == 0 && !finishChecksum(b) {
		return outSum
	}
	return 0
}

// sumOffload returns what a device must be able to do, one of it, to take a
// packet with an unfinished checksum.
func sumOffload(b *buf.Buffer) drivers.Offload {
	if b.CsumOffset == tcpChecksumAt {
		return drivers.Checksum | drivers.ChecksumTCP
	}
	return drivers.Checksum
}

// gsoOffload returns what a device must be able to do to take such a packet.
func gsoOffload(t buf.GSOType) drivers.Offload {
	switch t &^ buf.GSOECN {
	case buf.GSONone:
		return 0
	case buf.GSOTCPv4:
		return drivers.TSO4
	case buf.GSOTCPv6:
		return drivers.TSO6
	case buf.GSOUDP:
		return drivers.USO
	}
	return 0xff // unknown: gso-segment refuses it
}
