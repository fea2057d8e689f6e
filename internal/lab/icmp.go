package lab

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// await reads until the answer to a request comes, or an ICMP error about it.
func (s *prober) await(seq int, marker uint64) (Reply, error) {
	for {
		n, ttl, from, err := s.read()
		if err != nil {
			return Reply{}, err
		}
		m, err := icmp.ParseMessage(s.proto, s.buf[:n])
		if err != nil {
			continue // not for us to judge
		}
		r := Reply{From: from, TTL: ttl, Code: m.Code}
		switch body := m.Body.(type) {
		case *icmp.Echo:
			isReply := m.Type == ipv4.ICMPTypeEchoReply || m.Type == ipv6.ICMPTypeEchoReply
			if isReply && body.ID == s.id && body.Seq == seq && len(body.Data) >= 8 && binary.BigEndian.Uint64(body.Data) == marker {
				r.What = "echo reply"
				return r, nil
			}
		case *icmp.TimeExceeded:
			if s.cites(body.Data, seq) {
				r.What = "time exceeded"
				return r, nil
			}
		case *icmp.DstUnreach:
			if s.cites(body.Data, seq) {
				r.What = "destination unreachable"
				r.MTU = int(binary.BigEndian.Uint16(s.buf[6:])) // RFC 1191, section 4
				return r, nil
			}
		case *icmp.PacketTooBig:
			if s.cites(body.Data, seq) {
				r.What, r.MTU = "packet too big", body.MTU
				return r, nil
			}
		}
	}
}

// cites reports whether an ICMP error holds the request with this number: an
// IP header, then the first 8 bytes of ICMP (RFC 792; RFC 4443, section 3).
func (s *prober) cites(packet []byte, seq int) bool {
	header := 40
	if !s.host.Is6() {
		if len(packet) < 20 {
			return false
		}
		header = int(packet[0]&15) * 4
	}
	if len(packet) < header+8 {
		return false
	}
	echo := packet[header:]
	return int(binary.BigEndian.Uint16(echo[4:])) == s.id && int(binary.BigEndian.Uint16(echo[6:])) == seq
}

// read returns the next message in s.buf, with the TTL that it came with.
func (s *prober) read() (n, ttl int, from netip.Addr, err error) {
	var src net.Addr
	if s.v4 != nil {
		var cm *ipv4.ControlMessage
		if n, cm, src, err = s.v4.ReadFrom(s.buf); cm != nil {
			ttl = cm.TTL
		}
	} else {
		var cm *ipv6.ControlMessage
		if n, cm, src, err = s.v6.ReadFrom(s.buf); cm != nil {
			ttl = cm.HopLimit
		}
	}
	if a, ok := src.(*net.IPAddr); ok {
		from, _ = netip.AddrFromSlice(a.IP)
		from = from.Unmap()
	}
	return n, ttl, from, err
}
