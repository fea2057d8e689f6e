package acl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/skein-dataplane/skein/hdr"
)

// protoNames are the protocols that policies name (Calico, NetworkPolicy v3).
var protoNames = map[uint8]string{
	hdr.ProtoICMP: "icmp", hdr.ProtoTCP: "tcp", hdr.ProtoUDP: "udp", hdr.ProtoICMPv6: "icmpv6",
	hdr.ProtoSCTP: "sctp", protoUDPLite: "udplite", protoDCCP: "dccp",
}

func protoName(proto uint8) string {
	if name := protoNames[proto]; name != "" {
		return name
	}
	return "protocol " + strconv.Itoa(int(proto))
}

// String writes the rule on one line: "allow ipv4 tcp from net 10.0.0.0/8 set
// web to ports 80,443,8000:8080".
func (r *Rule) String() string {
	w := []string{r.Action.String()}
	if r.Family != 0 {
		w = append(w, "ipv"+strconv.Itoa(int(r.Family)))
	}
	if r.Proto != 0 {
		w = append(w, protoName(r.Proto))
	}
	if r.NotProto != 0 {
		w = append(w, "not "+protoName(r.NotProto))
	}
	if r.ICMP != nil {
		w = append(w, r.ICMP.String())
	}
	if r.NotICMP != nil {
		w = append(w, "not "+r.NotICMP.String())
	}
	if s := r.Src.words(); s != "" {
		w = append(w, "from"+s)
	}
	if s := r.Dst.words(); s != "" {
		w = append(w, "to"+s)
	}
	return strings.Join(w, " ")
}

func (c *ICMP) String() string {
	if c.HasCode {
		return fmt.Sprintf("icmp-type %d/%d", c.Type, c.Code)
	}
	return fmt.Sprintf("icmp-type %d", c.Type)
}

func (p PortRange) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d:%d", p.First, p.Last)
}

func (s *Side) words() string {
	return list(" net ", s.Nets) + list(" not net ", s.NotNets) +
		list(" set ", s.Sets) + list(" not set ", s.NotSets) +
		list(" ports ", s.Ports) + list(" named-ports ", s.NamedPorts) +
		list(" not ports ", s.NotPorts) + list(" not named-ports ", s.NotNamedPorts)
}

// list writes values with commas between them behind what they are.
func list[T any](what string, values []T) string {
	if len(values) == 0 {
		return ""
	}
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprint(v)
	}
	return what + strings.Join(words, ",")
}

// String writes a member as "10.0.0.0/8", "10.0.0.1" or "10.0.0.1,tcp:80".
func (m Member) String() string {
	s := m.Prefix.String()
	if m.Prefix.IsSingleIP() {
		s = m.Prefix.Addr().String()
	}
	if m.Proto != 0 {
		s += fmt.Sprintf(",%s:%d", strings.TrimPrefix(protoName(m.Proto), "protocol "), m.Port)
	}
	return s
}
