// Package pktline answers one question: how is a packet written in one line?
//
// The lines are tcpdump's in spirit:
//
//	10.0.0.1 > 10.0.0.2: udp 4000 > 53 ttl 64 len 16
//	02:00:00:00:00:01 > 02:00:00:00:00:02: 10.0.0.1 > 10.0.0.2: tcp 1 > 80 flags S seq 7
//	02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: arp who-has 10.0.0.2 tell 10.0.0.1
//	10.0.0.1 > 10.0.0.2: icmp echo-request id 1 seq 1 df
//	2001:db8::1 > 2001:db8::2: hbh dstopts udp 1 > 2 ttl 64 len 16
//	fe80::1 > ff02::1:ff00:2: icmp6 neighbor-solicit 2001:db8::2 lladdr 02:00:00:00:00:01
//	8.8.8.8 > 10.0.0.1: icmp unreachable code 3 [10.0.0.1 > 8.8.8.8: udp 1 > 53]
//	192.0.2.1 > 192.0.2.2: proto 4 [10.0.0.1 > 8.8.8.8: udp 1 > 53]
//
// Parse makes packets of them, for tests and for tools; Format writes them, for
// traces and golden files. Neither is for the data plane. Maturity: stable.
package pktline

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Parse makes a packet of a line. It starts at an Ethernet header if the line
// begins with link addresses, else at an IP header. Lengths and checksums are
// right; "hex" and bytes make any other packet.
func Parse(line string) ([]byte, error) {
	p := parser{line: line, ttl: 64, size: 16}
	line, quoted, quotes := strings.Cut(line, " [")
	if quotes {
		var err error
		if p.quote, err = Parse(strings.TrimSuffix(strings.TrimSpace(quoted), "]")); err != nil {
			return nil, err
		}
	}
	p.words = strings.Fields(line)
	if len(p.words) == 2 && p.words[0] == "hex" {
		return hex.DecodeString(p.words[1])
	}
	if err := p.parse(); err != nil {
		return nil, fmt.Errorf("pktline: %q: %w", line, err)
	}
	out := gopacket.NewSerializeBuffer()
	opt := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(out, opt, p.layers...); err != nil {
		return nil, fmt.Errorf("pktline: %q: %w", line, err)
	}
	return out.Bytes(), nil
}

type parser struct {
	line      string
	words     []string
	layers    []gopacket.SerializableLayer
	eth       *layers.Ethernet
	etherType *layers.EthernetType // of the last header before the network's
	ip        *layers.IPv4
	ip6       *layers.IPv6
	ttl       uint8
	size      int
	quote     []byte // the payload, if not nil
}

func (p *parser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *parser) expect(word string) error {
	if got := p.next(); got != word {
		return fmt.Errorf("%q where %q was expected", got, word)
	}
	return nil
}

func (p *parser) number(max uint64) (uint64, error) {
	w := p.next()
	n, err := strconv.ParseUint(w, 0, 64)
	if err != nil || n > max {
		return 0, fmt.Errorf("%q where a number up to %d was expected", w, max)
	}
	return n, nil
}

func (p *parser) parse() error {
	if len(p.words) > 0 && strings.Count(p.words[0], ":") == 5 {
		if err := p.ethernet(); err != nil {
			return err
		}
	}
	if len(p.words) > 0 && p.words[0] == "arp" {
		p.next()
		return p.arp()
	}
	return p.network()
}

func (p *parser) ethernet() error {
	src, err := net.ParseMAC(p.next())
	if err != nil {
		return err
	}
	if err := p.expect(">"); err != nil {
		return err
	}
	dst, err := net.ParseMAC(strings.TrimSuffix(p.next(), ":"))
	if err != nil {
		return err
	}
	p.eth = &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: layers.EthernetTypeIPv4}
	p.layers = append(p.layers, p.eth)
	p.etherType = &p.eth.EthernetType
	if len(p.words) > 1 && p.words[0] == "vlan" {
		p.next()
		id, err := p.number(4095)
		if err != nil {
			return err
		}
		p.eth.EthernetType = layers.EthernetTypeDot1Q
		tag := &layers.Dot1Q{VLANIdentifier: uint16(id), Type: layers.EthernetTypeIPv4}
		p.layers = append(p.layers, tag)
		p.etherType = &tag.Type
	}
	return nil
}

// arp parses "who-has A tell B" and "A is-at MAC".
func (p *parser) arp() error {
	if p.eth == nil {
		return fmt.Errorf("arp needs link addresses before it")
	}
	p.eth.EthernetType = layers.EthernetTypeARP
	a := &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
		HwAddressSize: 6, ProtAddressSize: 4, SourceHwAddress: p.eth.SrcMAC, DstHwAddress: make([]byte, 6)}
	p.layers = append(p.layers, a)
	first := p.next()
	if first == "who-has" {
		target, err := addr4(p.next())
		if err != nil {
			return err
		}
		if err := p.expect("tell"); err != nil {
			return err
		}
		sender, err := addr4(p.next())
		a.Operation, a.SourceProtAddress, a.DstProtAddress = layers.ARPRequest, sender, target
		return err
	}
	sender, err := addr4(first)
	if err != nil {
		return err
	}
	if err := p.expect("is-at"); err != nil {
		return err
	}
	mac, err := net.ParseMAC(p.next())
	a.Operation, a.SourceProtAddress, a.DstProtAddress = layers.ARPReply, sender, make([]byte, 4)
	a.SourceHwAddress, a.DstHwAddress = mac, p.eth.DstMAC
	if len(p.words) > 0 && err == nil {
		if err := p.expect("tell"); err != nil {
			return err
		}
		a.DstProtAddress, err = addr4(p.next())
	}
	return err
}

func addr4(s string) ([]byte, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return nil, fmt.Errorf("%q is not an IPv4 address", s)
	}
	return a.AsSlice(), nil
}

func (p *parser) network() error {
	src, err := netip.ParseAddr(p.next())
	if err != nil {
		return err
	}
	if err := p.expect(">"); err != nil {
		return err
	}
	dst, err := netip.ParseAddr(strings.TrimSuffix(p.next(), ":"))
	if err != nil {
		return err
	}
	if src.Is4() != dst.Is4() {
		return fmt.Errorf("one address is IPv4, the other is not")
	}
	if src.Is4() {
		p.ip = &layers.IPv4{Version: 4, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		p.layers = append(p.layers, p.ip)
	} else {
		p.ip6 = &layers.IPv6{Version: 6, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		p.layers = append(p.layers, p.ip6)
		if p.eth != nil {
			*p.etherType = layers.EthernetTypeIPv6
		}
	}
	if err := p.upper(); err != nil {
		return err
	}
	if err := p.options(); err != nil {
		return err
	}
	if p.ip != nil {
		p.ip.TTL = p.ttl
	} else {
		p.ip6.HopLimit = p.ttl
	}
	if p.quote == nil {
		p.quote = payload(p.size)
	}
	p.layers = append(p.layers, gopacket.Payload(p.quote))
	return nil
}

// upper parses what is behind the addresses, but for the words that are the IP
// header's.
func (p *parser) upper() error {
	if p.ip6 == nil {
		return p.transport()
	}
	all, err := p.extensions6()
	if err != nil {
		return err
	}
	for _, e := range all {
		p.layers = append(p.layers, gopacket.Payload(e.bytes))
	}
	if err := p.transport(); err != nil {
		return err
	}
	p.ip6.NextHeader = layers.IPProtocol(chain(all, byte(p.ip6.NextHeader)))
	return nil
}

// payload returns n bytes that are easy to tell apart.
func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[i%16]
	}
	return b
}
