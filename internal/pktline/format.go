package pktline

import (
	"encoding/hex"
	"fmt"
	"net"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Format writes a packet that starts at an Ethernet header, or at an IP header
// if ethernet is false, as Parse reads it, as far as it can be decoded. The
// rest is written as bytes.
func Format(packet []byte, ethernet bool) string {
	if s := ether6(packet, ethernet); s != "" {
		return s
	}
	var first gopacket.Decoder = layers.LayerTypeEthernet
	if !ethernet {
		first = layers.LayerTypeIPv4
		if len(packet) > 0 && packet[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
	}
	p := gopacket.NewPacket(packet, first, gopacket.DecodeOptions{NoCopy: true, DecodeStreamsAsDatagrams: true})
	var out []string
	rest := packet
	for _, l := range p.Layers() {
		if unread(l) {
			out = append(out, "hex "+hex.EncodeToString(rest))
			break
		}
		if _, ok := l.(*layers.IPv6); ok {
			out = append(out, formatIP6(rest))
			break
		}
		if ip, ok := l.(*layers.IPv4); ok && isTunnel(ip) {
			out = append(out, formatTunnel(ip))
			break
		}
		rest = rest[min(len(rest), len(l.LayerContents())):]
		if s := formatLayer(l, p); s != "" {
			out = append(out, s)
		}
		if carries(l) {
			break // what port 53 carries need not be DNS
		}
	}
	if len(out) == 0 {
		return "hex " + hex.EncodeToString(packet)
	}
	return strings.Join(out, " ")
}

// ether6 writes a packet of IPv6 with no more than an Ethernet header before it,
// "" if it is none. gopacket gives up on chains of extension headers that we
// want to see.
func ether6(packet []byte, ethernet bool) string {
	link := ""
	if ethernet {
		if len(packet) < 14 || packet[12] != 0x86 || packet[13] != 0xdd {
			return ""
		}
		link = fmt.Sprintf("%s > %s: ", net.HardwareAddr(packet[6:12]), net.HardwareAddr(packet[:6]))
		packet = packet[14:]
	}
	if len(packet) < 40 || packet[0]>>4 != 6 {
		return ""
	}
	return link + formatIP6(packet)
}

// unread reports whether a layer is an IP header that is too short to be one.
func unread(l gopacket.Layer) bool {
	switch l := l.(type) {
	case *layers.IPv4:
		return l.SrcIP == nil
	case *layers.IPv6:
		return l.SrcIP == nil
	}
	return false
}

// carries reports whether what follows a layer is payload to us.
func carries(l gopacket.Layer) bool {
	_, transport := l.(gopacket.TransportLayer)
	return transport || l.LayerType() == layers.LayerTypeICMPv4
}

func formatLayer(l gopacket.Layer, p gopacket.Packet) string {
	switch l := l.(type) {
	case *layers.Ethernet:
		s := fmt.Sprintf("%s > %s:", l.SrcMAC, l.DstMAC)
		switch l.EthernetType {
		case layers.EthernetTypeIPv4, layers.EthernetTypeIPv6, layers.EthernetTypeARP, layers.EthernetTypeDot1Q:
			return s
		}
		return fmt.Sprintf("%s ethertype 0x%04x len %d", s, uint16(l.EthernetType), len(l.Payload))
	case *layers.Dot1Q:
		return fmt.Sprintf("vlan %d", l.VLANIdentifier)
	case *layers.ARP:
		return formatARP(l)
	case *layers.IPv4:
		return fmt.Sprintf("%s > %s:", l.SrcIP, l.DstIP) + formatUpper(p, l.Protocol) + formatIP4(l, p)
	case *gopacket.DecodeFailure:
		return "malformed"
	}
	return ""
}

func formatARP(a *layers.ARP) string {
	ip := func(b []byte) string {
		if len(b) != 4 {
			return hex.EncodeToString(b)
		}
		return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3])
	}
	if a.Operation == layers.ARPRequest {
		return fmt.Sprintf("arp who-has %s tell %s", ip(a.DstProtAddress), ip(a.SourceProtAddress))
	}
	mac := strings.TrimSuffix(strings.Join(strings.Split(fmt.Sprintf("% x", a.SourceHwAddress), " "), ":"), ":")
	return fmt.Sprintf("arp %s is-at %s tell %s", ip(a.SourceProtAddress), mac, ip(a.DstProtAddress))
}

// formatUpper writes the transport header.
func formatUpper(p gopacket.Packet, proto layers.IPProtocol) string {
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok && ip.FragOffset != 0 {
		return fmt.Sprintf(" proto %d", proto)
	}
	if u, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP); ok {
		return fmt.Sprintf(" udp %d > %d", u.SrcPort, u.DstPort)
	}
	if t, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		return fmt.Sprintf(" tcp %d > %d flags %s seq %d ack %d", t.SrcPort, t.DstPort, tcpFlags(t), t.Seq, t.Ack)
	}
	if m, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		return " icmp " + formatICMP(m)
	}
	return fmt.Sprintf(" proto %d", proto)
}

func tcpFlags(t *layers.TCP) (s string) {
	for _, f := range []struct {
		on   bool
		name string
	}{{t.FIN, "F"}, {t.SYN, "S"}, {t.RST, "R"}, {t.PSH, "P"}, {t.ACK, "A"}, {t.URG, "U"}, {t.ECE, "E"}, {t.CWR, "C"}} {
		if f.on {
			s += f.name
		}
	}
	if s == "" {
		return "-"
	}
	return s
}

func formatICMP(m *layers.ICMPv4) string {
	switch t := m.TypeCode.Type(); t {
	case layers.ICMPv4TypeEchoRequest, layers.ICMPv4TypeEchoReply:
		name := "echo-request"
		if t == layers.ICMPv4TypeEchoReply {
			name = "echo-reply"
		}
		return fmt.Sprintf("%s id %d seq %d", name, m.Id, m.Seq)
	case layers.ICMPv4TypeDestinationUnreachable:
		s := fmt.Sprintf("unreachable code %d", m.TypeCode.Code())
		if m.TypeCode.Code() == layers.ICMPv4CodeFragmentationNeeded {
			s += fmt.Sprintf(" mtu %d", m.Seq)
		}
		return s + quote(m.Payload)
	case layers.ICMPv4TypeTimeExceeded:
		return fmt.Sprintf("time-exceeded code %d", m.TypeCode.Code()) + quote(m.Payload)
	}
	return fmt.Sprintf("type %d code %d", m.TypeCode.Type(), m.TypeCode.Code())
}

// quote writes the addresses of the packet that an ICMP error is about.
func quote(p []byte) string {
	ip := &layers.IPv4{}
	if err := ip.DecodeFromBytes(p, gopacket.NilDecodeFeedback); err != nil && len(p) < 20 {
		return " [short]"
	}
	return fmt.Sprintf(" [%s > %s]", ip.SrcIP, ip.DstIP)
}

// isTunnel reports whether a packet holds another of IPv4 (RFC 2003).
func isTunnel(ip *layers.IPv4) bool {
	return ip.SrcIP != nil && ip.Protocol == layers.IPProtocolIPv4 && ip.FragOffset == 0
}

func formatTunnel(ip *layers.IPv4) string {
	return fmt.Sprintf("%s > %s: proto 4%s len %d [%s]", ip.SrcIP, ip.DstIP, formatOptions(ip), len(ip.Payload), Format(ip.Payload, false))
}

func formatIP4(ip *layers.IPv4, p gopacket.Packet) string {
	return formatOptions(ip) + fmt.Sprintf(" len %d", payloadLen(ip.Payload, p))
}

func formatOptions(ip *layers.IPv4) string {
	s := fmt.Sprintf(" ttl %d", ip.TTL)
	if ip.TOS != 0 {
		s += fmt.Sprintf(" tos %#x", ip.TOS)
	}
	if ip.Flags&layers.IPv4DontFragment != 0 {
		s += " df"
	}
	if ip.Flags&layers.IPv4MoreFragments != 0 {
		s += " mf"
	}
	if ip.FragOffset != 0 {
		s += fmt.Sprintf(" offset %d", int(ip.FragOffset)*8)
	}
	return s
}

// payloadLen returns the bytes behind the transport header, or behind the IP
// header where no transport header is known.
func payloadLen(payload []byte, p gopacket.Packet) int {
	if t := p.TransportLayer(); t != nil {
		return len(t.LayerPayload())
	}
	if m, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		return len(m.Payload)
	}
	return len(payload)
}
