package dhcprelay

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/hdr"
)

// Ports of servers, which are those of relay agents, and of clients (RFC 2131,
// section 4.1).
const serverPort, clientPort = 67, 68

const headersLen = hdr.EtherLen + hdr.IPv4Len + hdr.UDPLen

// questions lets pass what clients broadcast to servers: a whole IPv4 datagram
// with a header without options, by UDP to port 67.
var questions = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 0, Size: 4},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0xffffffff, SkipTrue: 13},
	bpf.LoadAbsolute{Off: 4, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0xffff, SkipTrue: 11},
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: hdr.TypeIPv4, SkipTrue: 9},
	bpf.LoadAbsolute{Off: hdr.EtherLen, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x45, SkipTrue: 7},
	bpf.LoadAbsolute{Off: hdr.EtherLen + 6, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 5}, // a fragment (RFC 791, section 3.1)
	bpf.LoadAbsolute{Off: hdr.EtherLen + 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: hdr.ProtoUDP, SkipTrue: 3},
	bpf.LoadAbsolute{Off: hdr.EtherLen + hdr.IPv4Len + 2, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: serverPort, SkipTrue: 1},
	bpf.RetConstant{Val: headersLen + maxLen + 1}, // one more, so that what is too long is seen to be
	bpf.RetConstant{Val: 0},
}

// openLink opens a packet socket on the host's side of a pod's device, in the
// calling thread's namespace. Nothing gets in before the filter is there.
func openLink(index int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	raw, err := bpf.Assemble(questions)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, x := range raw {
		filter[i] = unix.SockFilter{Code: x.Op, Jt: x.Jt, Jf: x.Jf, K: x.K}
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	if err == nil { // what Skein itself sends to the pod is no question
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	if err == nil {
		// All protocols: a socket of one would hear nothing where the host's side is
		// deaf (tuntap.Veth). x86 and Arm are little-endian.
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bits.ReverseBytes16(unix.ETH_P_ALL), Ifindex: index})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "packet"), nil
}

// payload returns what a frame that has passed the filter carries, or nil. The
// checksum is left to the server's: it is often unfinished within a machine.
func payload(frame []byte) []byte {
	if len(frame) < headersLen {
		return nil
	}
	n := int(binary.BigEndian.Uint16(frame[hdr.EtherLen+hdr.IPv4Len+4:]))
	if n < hdr.UDPLen || hdr.EtherLen+hdr.IPv4Len+n > len(frame) {
		return nil
	}
	return frame[headersLen : hdr.EtherLen+hdr.IPv4Len+n]
}

// A flight is where a datagram comes from and goes to.
type flight struct {
	srcMAC, dstMAC hdr.MAC
	src, dst       netip.Addr
}

// frame makes the frame that takes a server's answer to a client.
func (f flight) frame(m message) []byte {
	out := make([]byte, headersLen+len(m))
	copy(out[headersLen:], m)
	(*hdr.Ether)(out).Fill(f.dstMAC, f.srcMAC, hdr.TypeIPv4)
	ip, udp := out[hdr.EtherLen:][:hdr.IPv4Len], out[hdr.EtherLen+hdr.IPv4Len:]
	h := (*hdr.IPv4)(ip)
	ip[0], ip[9] = 0x45, hdr.ProtoUDP
	h.SetLen(len(out) - hdr.EtherLen)
	h.SetTTL(64) // RFC 1700, "IP TIME TO LIVE PARAMETER"
	h.SetSrc(hdr.Addr4From(f.src))
	h.SetDst(hdr.Addr4From(f.dst))
	h.SetChecksum(hdr.Checksum(ip))
	binary.BigEndian.PutUint16(udp, serverPort)
	binary.BigEndian.PutUint16(udp[2:], clientPort)
	u := (*hdr.UDP)(udp)
	u.SetLen(len(udp))
	sum := ^hdr.Fold(hdr.Sum(udp, uint64(h.PseudoSum(len(udp)))))
	if sum == 0 {
		sum = 0xffff // 0 means none (RFC 768)
	}
	u.SetChecksum(sum)
	return out
}
