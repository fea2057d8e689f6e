package pktline

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// formatIP6 writes a packet that starts at a whole IPv6 header.
func formatIP6(p []byte) string {
	addr := func(b []byte) string { return netip.AddrFrom16([16]byte(b)).String() }
	s := fmt.Sprintf("%s > %s:", addr(p[8:24]), addr(p[24:40]))
	hops, traffic := p[7], binary.BigEndian.Uint16(p)>>4&0xff
	flow := binary.BigEndian.Uint32(p) & 0xfffff
	next, rest := p[6], p[40:]
	if n := int(binary.BigEndian.Uint16(p[4:])); n <= len(rest) {
		rest = rest[:n]
	} else {
		s += " cut off"
	}
	later := false
	for {
		name, size := extension6(next, rest)
		if size == 0 || later {
			break
		}
		s += " " + name
		later = next == 44 && binary.BigEndian.Uint16(rest[2:])&^7 != 0
		next, rest = rest[0], rest[size:]
	}
	upper, size := fmt.Sprintf("proto %d", next), 0
	if !later {
		if u, n := upper6(next, rest); n > 0 {
			upper, size = u, n
		}
	}
	s += fmt.Sprintf(" %s ttl %d", upper, hops)
	if traffic != 0 {
		s += fmt.Sprintf(" tos %#x", traffic)
	}
	if flow != 0 {
		s += fmt.Sprintf(" flow %#x", flow)
	}
	s += fmt.Sprintf(" len %d", len(rest)-size)
	if next == 41 && !later { // RFC 2473
		s += " [" + Format(rest, false) + "]"
	}
	return s
}

// extension6 names the extension header at the front of p, and returns its
// length, 0 if there is none.
func extension6(number byte, p []byte) (name string, size int) {
	if len(p) < 8 {
		return "", 0
	}
	size = int(p[1])*8 + 8
	switch number {
	case 0:
		name = "hbh"
	case 43:
		name = fmt.Sprintf("routing %d", p[2])
	case 44:
		size = 8
		f := binary.BigEndian.Uint16(p[2:])
		name = fmt.Sprintf("frag %d", f&^7)
		if f&1 != 0 {
			name += " mf"
		}
	case 51:
		name, size = "ah", int(p[1])*4+8
	case 60:
		name = "dstopts"
	default:
		return "", 0
	}
	if size > len(p) {
		return "", 0
	}
	return name, size
}

// upper6 writes the transport header at the front of p, and returns its
// length, 0 if it is unknown or not whole.
func upper6(proto byte, p []byte) (s string, size int) {
	u16 := func(at int) uint16 { return binary.BigEndian.Uint16(p[at:]) }
	switch {
	case proto == 17 && len(p) >= 8:
		return fmt.Sprintf("udp %d > %d", u16(0), u16(2)), 8
	case proto == 6 && len(p) >= 20:
		size = max(20, min(int(p[12]>>4)*4, len(p)))
		return fmt.Sprintf("tcp %d > %d flags %s seq %d ack %d", u16(0), u16(2), flags(p[13], "FSRPAUEC"),
			binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:])), size
	case proto == 58 && len(p) >= 8:
		return formatICMP6(p)
	}
	return "", 0
}

// flags writes the bits of b by their letters, lowest first.
func flags(b byte, letters string) (s string) {
	for i, c := range letters {
		if b&(1<<i) != 0 {
			s += string(c)
		}
	}
	if s == "" {
		return "-"
	}
	return s
}

func formatICMP6(p []byte) (s string, size int) {
	typ, code := p[0], p[1]
	rest := binary.BigEndian.Uint32(p[4:])
	name := ""
	for n, t := range icmp6Types {
		if t == typ {
			name = "icmp6 " + n
		}
	}
	if typ != 2 && (typ < 128 || code != 0) {
		name += fmt.Sprintf(" code %d", code)
	}
	switch typ {
	case 1, 3:
		return name + quote6(p[8:]), 8
	case 2:
		return name + fmt.Sprintf(" mtu %d", rest) + quote6(p[8:]), 8
	case 4:
		return name + fmt.Sprintf(" pointer %d", rest) + quote6(p[8:]), 8
	case 128, 129:
		return name + fmt.Sprintf(" id %d seq %d", rest>>16, rest&0xffff), 8
	case 133, 134, 137:
		return name, 8
	case 135, 136:
		if len(p) >= 24 {
			return formatND(name, p)
		}
	}
	return fmt.Sprintf("icmp6 type %d code %d", typ, code), 8
}

// formatND writes a neighbor solicitation or advertisement and the link
// address in its first option.
func formatND(name string, p []byte) (s string, size int) {
	s = name + " " + netip.AddrFrom16([16]byte(p[8:24])).String()
	if p[0] == 136 {
		s += " flags " + strings.TrimPrefix(flags(p[4], ".....OSR"), "-")
	}
	if size = 24; len(p) >= 32 && p[24] == p[0]-134 && p[25] == 1 {
		s, size = s+" lladdr "+net.HardwareAddr(p[26:32]).String(), 32
	}
	return s, size
}

// quote6 writes the addresses of the packet that an ICMPv6 error is about.
func quote6(p []byte) string {
	if len(p) < 40 {
		return " [short]"
	}
	return fmt.Sprintf(" [%s > %s]", netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])))
}
