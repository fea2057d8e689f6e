package pktline

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// An extension is an IPv6 extension header, the number of the next one left
// out.
type extension struct {
	number byte
	bytes  []byte
}

// extensions6 parses the extension headers that may stand before the transport
// header of IPv6:
//
//	hbh             hop-by-hop options: a router alert
//	dstopts         destination options: padding
//	ah              an authentication header
//	routing 4       a routing header of that type
//	frag 1448 mf    a fragment header, with the offset in bytes
//	frag 0 mf id 7  likewise, with the identification
func (p *parser) extensions6() (all []extension, err error) {
	for len(p.words) > 0 {
		var e extension
		switch p.words[0] {
		case "hbh":
			e = extension{0, []byte{0, 0, 5, 2, 0, 0, 1, 0}}
		case "dstopts":
			e = extension{60, []byte{0, 0, 1, 4, 0, 0, 0, 0}}
		case "ah":
			e = extension{51, make([]byte, 24)}
			e.bytes[1] = 4
		case "routing":
			e, err = p.numbered(43, 255, func(b []byte, n uint64) { b[2] = byte(n) })
		case "frag":
			e, err = p.numbered(44, 65528, func(b []byte, n uint64) { binary.BigEndian.PutUint16(b[2:], uint16(n&^7)) })
			if len(p.words) > 1 && p.words[1] == "mf" {
				p.next()
				e.bytes[3] |= 1
			}
			if len(p.words) > 2 && p.words[1] == "id" {
				p.words = p.words[2:]
				var id uint64
				if id, err = strconv.ParseUint(p.words[0], 10, 32); err == nil {
					binary.BigEndian.PutUint32(e.bytes[4:], uint32(id))
				}
			}
		default:
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		p.next()
		all = append(all, e)
	}
	return all, nil
}

// numbered parses a header of 8 bytes whose name a number follows, and leaves
// the number to be taken.
func (p *parser) numbered(number byte, most uint64, set func(b []byte, n uint64)) (extension, error) {
	e := extension{number, make([]byte, 8)}
	p.next()
	words := p.words
	n, err := p.number(most)
	p.words = words
	set(e.bytes, n)
	return e, err
}

// chain puts the numbers of the headers where they belong, and returns the
// first.
func chain(all []extension, upper byte) byte {
	for i := len(all) - 1; i >= 0; i-- {
		all[i].bytes[0] = upper
		upper = all[i].number
	}
	return upper
}

var icmp6Types = map[string]uint8{"unreachable": 1, "too-big": 2, "time-exceeded": 3, "param-problem": 4,
	"echo-request": 128, "echo-reply": 129, "router-solicit": 133, "router-advert": 134,
	"neighbor-solicit": 135, "neighbor-advert": 136, "redirect": 137}

// icmp6 parses "echo-request id 1 seq 2", "neighbor-solicit 2001:db8::7 lladdr
// 02:00:00:00:00:01", "neighbor-advert 2001:db8::7 flags RSO", "too-big mtu
// 1280" and "type 130 code 0". Messages of neighbor discovery come with a hop
// limit of 255 and nothing behind them.
func (p *parser) icmp6() error {
	w := p.next()
	typ, known := icmp6Types[w]
	if !known {
		if w != "type" {
			return fmt.Errorf("%q where an icmp6 type was expected", w)
		}
		n, err := p.number(255)
		if err != nil {
			return err
		}
		typ = uint8(n)
	}
	m := message6{body: make([]byte, 4)}
	if typ >= 133 && typ <= 137 {
		p.ttl, p.size = 255, 0
	}
	if typ == 135 || typ == 136 {
		a, err := netip.ParseAddr(p.next())
		if err != nil {
			return err
		}
		to := a.As16()
		m.body = append(m.body, to[:]...)
	}
	for known := true; known && len(p.words) > 1; {
		var err error
		if known, err = m.attribute(p, typ); err != nil {
			return err
		}
	}
	i := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, m.code)}
	p.layers = append(p.layers, i, gopacket.Payload(m.body))
	return i.SetNetworkLayerForChecksum(p.protocol(layers.IPProtocolICMPv6))
}

// A message6 is an ICMPv6 message in the making.
type message6 struct {
	code uint8
	body []byte // behind the checksum
}

// attribute parses one word and what belongs to it, if it is one of ICMPv6.
func (m *message6) attribute(p *parser, typ uint8) (known bool, err error) {
	var n uint64
	switch w := p.words[0]; w {
	case "code":
		p.next()
		n, err = p.number(255)
		m.code = uint8(n)
	case "id", "seq":
		p.next()
		n, err = p.number(65535)
		binary.BigEndian.PutUint16(m.body[map[string]int{"id": 0, "seq": 2}[w]:], uint16(n))
	case "mtu", "pointer":
		p.next()
		n, err = p.number(1<<32 - 1)
		binary.BigEndian.PutUint32(m.body, uint32(n))
	case "flags":
		p.next()
		for _, f := range p.next() {
			m.body[0] |= map[rune]byte{'R': 0x80, 'S': 0x40, 'O': 0x20}[f]
		}
	case "lladdr":
		p.next()
		var mac net.HardwareAddr
		mac, err = net.ParseMAC(p.next())
		option := byte(1)
		if typ == 136 {
			option = 2
		}
		m.body = append(append(m.body, option, 1), mac...)
	default:
		return false, nil
	}
	return true, err
}
