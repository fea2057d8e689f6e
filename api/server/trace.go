package server

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/nodes"
)

// maxTraces is how many packets may be traced at once: a worker keeps 8192
// records, and a packet makes about ten.
const maxTraces = 800

func (s *service) AddTrace(ctx context.Context, r *pb.AddTraceRequest) (*pb.AddTraceResponse, error) {
	if r.Count == 0 || r.Count > maxTraces {
		return nil, invalid("%d packets: from 1 to %d can be traced", r.Count, maxTraces)
	}
	var err error
	switch at := r.At.(type) {
	case *pb.AddTraceRequest_Node:
		if at.Node == nodes.DeviceInputArc.Name {
			return nil, invalid("%s is the way in, and not a node: name an interface, or the node after it", at.Node)
		}
		err = s.control.TraceNode(ctx, at.Node, int(r.Count))
	case *pb.AddTraceRequest_Interface:
		err = s.control.TraceInterface(ctx, at.Interface, int(r.Count))
	default:
		return nil, invalid("neither a node nor an interface is named")
	}
	if err != nil {
		return nil, err
	}
	return &pb.AddTraceResponse{}, nil
}

func (s *service) GetTrace(ctx context.Context, r *pb.GetTraceRequest) (*pb.GetTraceResponse, error) {
	all, missed, err := s.control.Traces(ctx)
	if err != nil {
		return nil, err
	}
	m := &pb.GetTraceResponse{Missed: missed}
	for worker, records := range all {
		for _, p := range tracedPackets(records, int(r.Max)) {
			p.Worker = uint32(worker)
			m.Packets = append(m.Packets, p)
		}
	}
	if r.Max > 0 && len(m.Packets) > int(r.Max) {
		m.Packets = m.Packets[:r.Max]
	}
	return m, nil
}

func (s *service) ClearTrace(ctx context.Context, _ *pb.ClearTraceRequest) (*pb.ClearTraceResponse, error) {
	if err := s.control.ClearTrace(ctx); err != nil {
		return nil, err
	}
	return &pb.ClearTraceResponse{}, nil
}

// tracedPackets puts the records of each packet together; most is 0 for all.
func tracedPackets(all []graph.Record, most int) (out []*pb.TracedPacket) {
	of := map[uint64][]*graph.Record{}
	var ids []uint64
	for i := range all {
		r := &all[i]
		if of[r.Packet] == nil {
			ids = append(ids, r.Packet)
		}
		of[r.Packet] = append(of[r.Packet], r)
	}
	slices.Sort(ids) // numbers are given in order
	if most > 0 && len(ids) > most {
		ids = ids[:most]
	}
	dying := dyingArcs()
	for _, id := range ids {
		out = append(out, tracedPacket(of[id], dying))
	}
	return out
}

func tracedPacket(all []*graph.Record, dying map[arcKey]bool) *pb.TracedPacket {
	first := all[0]
	m := &pb.TracedPacket{Id: first.Packet, Start: durationpb.New(time.Duration(first.Now))}
	if i := int(first.Meta.RxIf); i < len(first.State.Ifaces) {
		m.Interface = first.State.Ifaces[i].Name
	}
	var last *graph.Record
	for _, r := range all {
		m.Records = append(m.Records, traceRecord(r, last, first.Now, dying))
		last = r
	}
	return m
}

func traceRecord(r, last *graph.Record, start int64, dying map[arcKey]bool) *pb.TraceRecord {
	m := &pb.TraceRecord{OffsetNs: uint64(max(0, r.Now-start)), Node: r.Node, Reason: r.Reason, Next: r.Next}
	if words, ok := keptWords[r.Node]; ok && r.Reason == "kept" {
		m.Reason = words
	}
	if r.Node == graph.Drop {
		m.Details = []string{"dropped: " + why(last)}
		return m
	}
	m.Details = append(m.Details, lines(r.Details)...)
	if dying[arcKey{r.Node, r.Reason}] {
		m.Details = append(m.Details, "the packet ends here: "+r.Reason+"; what goes on is an answer to its sender")
	}
	if last == nil || changed(last, r) {
		m.Details = append(m.Details, lines(decoded(r))...)
	}
	return m
}

// why says what a packet was dropped for.
func why(last *graph.Record) string {
	switch {
	case last == nil:
		return "the trace began here, and does not know the reason"
	case last.Reason == "" || last.Next != graph.Drop:
		return "at " + last.Node
	}
	return last.Reason + ", at " + last.Node
}

// keptWords say what it means that a node keeps a packet.
var keptWords = map[string]string{
	nodes.UplinkOutput.Name: "sent",
	nodes.TapOutput.Name:    "sent",
	nodes.TunOutput.Name:    "sent",
	nodes.ICMP4Input.Name:   "answers a ping of this node",
	nodes.IP4ARP.Name:       "waits for the link address of the next hop",
	nodes.GSOSegment.Name:   "sent on in segments",
	nodes.IP4Fragment.Name:  "sent on in fragments",
}

type arcKey struct{ node, reason string }

// dyingArcs are the ways out on which a packet ends although something goes on.
func dyingArcs() map[arcKey]bool {
	all := map[arcKey]bool{}
	for _, spec := range nodes.All() {
		for _, to := range spec.Arcs {
			if to.Dies {
				all[arcKey{spec.Name, to.Reason}] = true
			}
		}
	}
	return all
}

func lines(text string) []string {
	if text = strings.TrimRight(text, "\n"); text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// changed reports whether two records show different packets, from the network
// header on where that is known: what goes before it comes and goes.
func changed(a, b *graph.Record) bool {
	p, q := packet(a), packet(b)
	n := min(len(p), len(q)) // of a long packet, a record with a link header holds less
	return a.Len-len(a.Bytes)+len(p) != b.Len-len(b.Bytes)+len(q) || !bytes.Equal(p[:n], q[:n])
}

func packet(r *graph.Record) []byte {
	if r.L3 > 0 && r.L3 <= len(r.Bytes) {
		return r.Bytes[r.L3:]
	}
	return r.Bytes
}

// decoded writes the packet in words. It is empty where the bytes start at
// neither an Ethernet nor an IP header: the node's own words have to do.
func decoded(r *graph.Record) string {
	switch {
	case r.L3 == hdr.EtherLen || r.L3 < 0 && ethernet(r):
		return format(r, true)
	case r.L3 == 0 && len(r.Bytes) > 0 && (r.Bytes[0]>>4 == 4 || r.Bytes[0]>>4 == 6):
		return format(r, false)
	}
	return ""
}

// maxFrame is more than a superpacket and its link header have, in bytes.
const maxFrame = 1<<16 + hdr.EtherLen

// format decodes a record as if it held the whole packet, so that the lengths
// are the packet's and not the record's.
func format(r *graph.Record, ether bool) string {
	whole := make([]byte, min(max(r.Len, len(r.Bytes)), maxFrame))
	copy(whole, r.Bytes)
	text := pktline.Format(whole, ether)
	if strings.HasPrefix(text, "hex ") {
		return pktline.Format(r.Bytes, ether) // no more than there is
	}
	return text
}

// ethernet reports whether a packet whose network header is not known yet came
// from a device with Ethernet.
func ethernet(r *graph.Record) bool {
	i := int(r.Meta.RxIf)
	return i < len(r.State.Ifaces) && r.State.Ifaces[i].Ethernet
}
