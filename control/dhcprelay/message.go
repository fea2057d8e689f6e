package dhcprelay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/skein-dataplane/skein/hdr"
)

// A message is one of DHCP, from op to the end of its options (RFC 2131,
// section 2). What parse has accepted has all of its fixed part, and options
// that end.
//
//	  0 op    1 htype  2 hlen    3 hops
//	  4 xid           10 flags  12 ciaddr  16 yiaddr
//	 20 siaddr        24 giaddr 28 chaddr  44 sname
//	108 file         236 cookie 240 options
type message []byte

const (
	fixedLen = 240 // bytes before the options, the cookie included
	// maxLen is what fits into an Ethernet frame of 1500 bytes: whoever relays
	// sends no fragments.
	maxLen = 1500 - hdr.IPv4Len - hdr.UDPLen
	// minLen is the least that servers of BOOTP take (RFC 1542, section 2.1).
	minLen = 300
)

// Values of op, and of the flags field (RFC 2131, section 2).
const (
	bootRequest = 1
	bootReply   = 2
	broadcast   = 0x8000
)

// Options (RFC 2132, and RFC 3046 for the relay agent's).
const (
	optPad       = 0
	optType      = 53
	optClientID  = 61
	optRelay     = 82
	optEnd       = 255
	subLinkRange = 5 // within optRelay: the subnet to assign from (RFC 3527)
)

// Message types (RFC 2132, section 9.6) that clients send.
const (
	typeDiscover = 1
	typeRequest  = 3
	typeDecline  = 4
	typeRelease  = 7
	typeInform   = 8
)

var cookie = []byte{99, 130, 83, 99} // RFC 2131, section 3

// parse checks that bytes are a message over Ethernet.
func parse(b []byte) (message, error) {
	switch {
	case len(b) < fixedLen || len(b) > maxLen:
		return nil, fmt.Errorf("%d bytes: from %d to %d were expected", len(b), fixedLen, maxLen)
	case b[1] != 1 || b[2] != 6:
		return nil, fmt.Errorf("hardware type %d of length %d, which is not Ethernet", b[1], b[2])
	case !bytes.Equal(b[236:fixedLen], cookie):
		return nil, errors.New("BOOTP without DHCP")
	}
	m := message(b)
	if _, _, ok := m.find(optEnd); !ok {
		return nil, errors.New("options that do not end")
	}
	return m, nil
}

func (m message) op() byte            { return m[0] }
func (m message) hops() byte          { return m[3] }
func (m message) xid() [4]byte        { return [4]byte(m[4:8]) }
func (m message) broadcast() bool     { return binary.BigEndian.Uint16(m[10:12])&broadcast != 0 }
func (m message) yiaddr() netip.Addr  { return netip.AddrFrom4([4]byte(m[16:20])) }
func (m message) giaddr() netip.Addr  { return netip.AddrFrom4([4]byte(m[24:28])) }
func (m message) chaddr() hdr.MAC     { return hdr.MAC(m[28:34]) }
func (m message) setHops(n byte)      { m[3] = n }
func (m message) setGI(a netip.Addr)  { copy(m[24:28], a.AsSlice()) }
func (m message) value(o byte) []byte { at, end, _ := m.find(o); return m[at:end] }

// find returns where the value of an option begins and ends, or for optEnd
// where that option itself is. What stands in the fields sname and file (option
// 52) is between client and server.
func (m message) find(option byte) (at, end int, ok bool) {
	for i := fixedLen; i < len(m); {
		switch m[i] {
		case option:
			if option == optEnd {
				return i, i, true
			}
		case optEnd:
			return 0, 0, false
		case optPad:
			i++
			continue
		}
		if i+2 > len(m) || i+2+int(m[i+1]) > len(m) {
			return 0, 0, false
		}
		if m[i] == option {
			return i + 2, i + 2 + int(m[i+1]), true
		}
		i += 2 + int(m[i+1])
	}
	return 0, 0, false
}

// kind returns the message type, 0 without one.
func (m message) kind() byte {
	if v := m.value(optType); len(v) == 1 {
		return v[0]
	}
	return 0
}

// with returns the message with one more option, the last (RFC 3046, section
// 2.1), or false where there is no room.
func (m message) with(option byte, value []byte) (message, bool) {
	end, _, _ := m.find(optEnd)
	if end+2+len(value)+1 > maxLen {
		return nil, false
	}
	out := append(message{}, m[:end]...)
	out = append(append(out, option, byte(len(value))), value...)
	return append(out, optEnd).padded(), true
}

// without returns the message without an option.
func (m message) without(option byte) message {
	at, end, ok := m.find(option)
	if !ok {
		return m
	}
	return append(append(message{}, m[:at-2]...), m[end:]...).padded()
}

func (m message) padded() message {
	return append(m, make([]byte, max(0, minLen-len(m)))...)
}
