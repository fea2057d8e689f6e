package pktline

import (
	"fmt"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

func (p *parser) protocol(proto layers.IPProtocol) gopacket.NetworkLayer {
	if p.ip != nil {
		p.ip.Protocol = proto
		return p.ip
	}
	p.ip6.NextHeader = proto
	return p.ip6
}

func (p *parser) transport() error {
	switch w := p.next(); w {
	case "udp":
		sport, dport, err := p.ports()
		u := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
		p.layers = append(p.layers, u)
		return firstError(err, u.SetNetworkLayerForChecksum(p.protocol(layers.IPProtocolUDP)))
	case "tcp":
		sport, dport, err := p.ports()
		t := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Window: 65535}
		p.layers = append(p.layers, t)
		return firstError(err, p.tcp(t), t.SetNetworkLayerForChecksum(p.protocol(layers.IPProtocolTCP)))
	case "icmp":
		p.protocol(layers.IPProtocolICMPv4)
		return p.icmp()
	case "icmp6":
		if p.ip6 == nil {
			return fmt.Errorf("icmp6 in an IPv4 packet")
		}
		return p.icmp6()
	case "proto":
		n, err := p.number(255)
		p.protocol(layers.IPProtocol(n))
		return err
	default:
		return fmt.Errorf("%q where udp, tcp, icmp or proto was expected", w)
	}
}

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) ports() (sport, dport uint64, err error) {
	if sport, err = p.number(65535); err != nil {
		return
	}
	if err = p.expect(">"); err != nil {
		return
	}
	dport, err = p.number(65535)
	return
}

// tcp parses "flags SA seq 1 ack 2", each of which may be missing.
func (p *parser) tcp(t *layers.TCP) error {
	t.ACK = true
	for len(p.words) > 1 {
		switch p.words[0] {
		case "flags":
			p.next()
			f := p.next()
			if strings.Trim(f, "FSRPAUEC") != "" {
				return fmt.Errorf("%q where flags of FSRPAUEC were expected", f)
			}
			has := func(c string) bool { return strings.Contains(f, c) }
			t.FIN, t.SYN, t.RST, t.PSH = has("F"), has("S"), has("R"), has("P")
			t.ACK, t.URG, t.ECE, t.CWR = has("A"), has("U"), has("E"), has("C")
		case "seq", "ack":
			word := p.next()
			n, err := p.number(1<<32 - 1)
			if err != nil {
				return err
			}
			if word == "seq" {
				t.Seq = uint32(n)
			} else {
				t.Ack = uint32(n)
			}
		default:
			return nil
		}
	}
	return nil
}

var icmpTypes = map[string]uint8{"echo-request": 8, "echo-reply": 0, "unreachable": 3, "time-exceeded": 11, "redirect": 5}

// icmp parses "echo-request id 1 seq 2" and "type 3 code 4".
func (p *parser) icmp() error {
	m := &layers.ICMPv4{}
	p.layers = append(p.layers, m)
	w := p.next()
	typ, known := icmpTypes[w]
	switch {
	case known:
	case w == "type":
		n, err := p.number(255)
		if err != nil {
			return err
		}
		typ = uint8(n)
	default:
		return fmt.Errorf("%q where an icmp type was expected", w)
	}
	var code uint64
	for len(p.words) > 1 {
		var err error
		var n uint64
		switch p.words[0] {
		case "code":
			p.next()
			code, err = p.number(255)
		case "id":
			p.next()
			n, err = p.number(65535)
			m.Id = uint16(n)
		case "seq":
			p.next()
			n, err = p.number(65535)
			m.Seq = uint16(n)
		default:
			m.TypeCode = layers.CreateICMPv4TypeCode(typ, uint8(code))
			return nil
		}
		if err != nil {
			return err
		}
	}
	m.TypeCode = layers.CreateICMPv4TypeCode(typ, uint8(code))
	return nil
}

// options parses what the IP header has besides: ttl, tos, ipid, df, mf,
// offset (in bytes), and len, the number of bytes of payload.
func (p *parser) options() error {
	for len(p.words) > 0 {
		w := p.next()
		switch w {
		case "df", "mf":
			if p.ip == nil {
				return fmt.Errorf("%q in an IPv6 packet", w)
			}
			if w == "df" {
				p.ip.Flags |= layers.IPv4DontFragment
			} else {
				p.ip.Flags |= layers.IPv4MoreFragments
			}
			continue
		}
		n, err := p.number(65535)
		if err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
		switch {
		case w == "ttl":
			p.ttl = uint8(n)
		case w == "tos" && p.ip6 != nil:
			p.ip6.TrafficClass = uint8(n)
		case w == "len":
			p.size = int(n)
		case w == "tos" && p.ip != nil:
			p.ip.TOS = uint8(n)
		case w == "ipid" && p.ip != nil:
			p.ip.Id = uint16(n)
		case w == "offset" && p.ip != nil && n%8 == 0:
			p.ip.FragOffset = uint16(n / 8)
		default:
			return fmt.Errorf("%q is not an option here", w)
		}
	}
	return nil
}
