package control

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// What explain knows of a packet's own bytes and of its session.

// upperAt returns where the upper layer's header starts in a packet that is
// sound, or the length of the packet if there is none.
func upperAt(b []byte) int {
	if b[0]>>4 == 4 {
		return min(int(b[0]&15)*4, len(b))
	}
	at, proto := hdr.IPv6Len, (*hdr.IPv6)(b).NextHeader()
	for hdr.IsExt(proto) && at+8 <= len(b) {
		h := (*hdr.Ext)(b[at:])
		proto, at = h.NextHeader(), at+h.Len(proto)
	}
	return min(at, len(b))
}

// A knownFlow is the session that a packet is of, if there is one.
type knownFlow struct {
	found, reverse, related, judged bool
	class                           session.Class
	key                             acl.Key // of the flow's first packet
}

// sessionOf looks a packet's session up.
func (c *Control) sessionOf(ctx context.Context, p *packet) (k knownFlow, err error) {
	if has, err := c.hasSessions(); !has || err != nil {
		return k, err
	}
	err = c.doAll(ctx, func(w *graph.Worker) error { // it is in the table of one of them, or in none
		t := w.Flows.Table
		var r session.Ref
		if p.src.Is4() {
			r = t.Find4(p.v4.Key, t.Hash4(p.v4.Key))
		} else {
			r = t.Find6(&p.v6.Key, t.Hash6(&p.v6.Key))
		}
		if r == 0 || p.part == session.Later || p.part == session.Alone {
			return nil
		}
		var gen uint32
		if st := w.State.Policy; st != nil {
			gen = st.Gen
		}
		fl := flowOf(t, r.Index(), gen, w.Second())
		k = knownFlow{found: true, reverse: r.Dir() == session.Reverse, related: p.part == session.Related,
			judged: fl.Judged, class: fl.Class, key: fl.key()}
		return nil
	})
	return k, err
}

// words says which flow a packet is of.
func (k *knownFlow) words() string {
	way := "of a flow"
	switch {
	case k.related:
		way = "an error about a flow"
	case k.reverse:
		way = "an answer in a flow"
	}
	when := "which the current policy has allowed: it is not asked again"
	if !k.judged {
		when = "about which policy is to be asked again, as it has changed"
	}
	return fmt.Sprintf("%s that is known (%v), %s", way, k.class, when)
}

func isICMP(proto uint8) bool { return proto == hdr.ProtoICMP || proto == hdr.ProtoICMPv6 }

// protos are the names of protocols, as `show sessions` takes them.
var protos = map[string]uint8{"tcp": hdr.ProtoTCP, "udp": hdr.ProtoUDP, "icmp": hdr.ProtoICMP, "icmp6": hdr.ProtoICMPv6, "sctp": hdr.ProtoSCTP}

func protoName(p uint8) string {
	for name, n := range protos {
		if n == p {
			return name
		}
	}
	return "proto " + strconv.Itoa(int(p))
}

// ParseProto reads a protocol as Flow.ProtoName writes it, or its number.
func ParseProto(s string) (uint8, error) {
	if p, ok := protos[strings.ToLower(s)]; ok {
		return p, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "proto "), 10, 8)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("control: %w: %q is not a protocol: tcp, udp, icmp, icmp6, sctp or a number was expected", ErrInvalid, s)
	}
	return uint8(n), nil
}

// ProtoName returns the protocol's name.
func (f *Flow) ProtoName() string { return protoName(f.Proto) }
