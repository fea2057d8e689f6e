package afpacket

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/skein-dataplane/skein/drivers/internal/packetsock"
	"golang.org/x/sys/unix"
)

// deaf is a classic BPF program that accepts no byte of any packet.
var deaf = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}

// setUp makes a new socket a queue of the interface. The first one makes the
// fanout group, if there are several queues; the others join it.
//
// A socket that is bound and not yet in the group would receive what the
// others do as well. It is deaf until all are in.
func setUp(fd, ifindex int, c *Config, fanout *int) error {
	filter := deaf
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: 1, Filter: &filter}); err != nil {
		return fmt.Errorf("SO_ATTACH_FILTER: %w", err)
	}
	if err := packetsock.Set(fd,
		packetsock.Option{Name: "SO_RCVBUFFORCE", Level: unix.SOL_SOCKET, Opt: unix.SO_RCVBUFFORCE, Value: c.RxBytes},
		packetsock.Option{Name: "SO_SNDBUFFORCE", Level: unix.SOL_SOCKET, Opt: unix.SO_SNDBUFFORCE, Value: c.TxBytes},
		packetsock.Option{Name: "PACKET_VNET_HDR", Level: unix.SOL_PACKET, Opt: unix.PACKET_VNET_HDR, Value: 1},
		packetsock.Option{Name: "PACKET_AUXDATA", Level: unix.SOL_PACKET, Opt: unix.PACKET_AUXDATA, Value: 1},
		packetsock.Option{Name: "PACKET_IGNORE_OUTGOING", Level: unix.SOL_PACKET, Opt: unix.PACKET_IGNORE_OUTGOING, Value: 1},
	); err != nil {
		return err
	}
	// A membership ends with the socket; the interface's flag would not.
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}); err != nil {
		return fmt.Errorf("promiscuous mode: %w", err)
	}
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}) // network byte order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex, Protocol: all}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if c.Queues == 1 {
		return nil
	}
	return join(fd, fanout)
}

// join puts the socket into the fanout group. The group has an IGNORE_OUTGOING
// of its own, that stands for those of its sockets.
func join(fd int, group *int) error {
	const how = unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	arg := how<<16 | *group
	if *group == 0 {
		arg = (how | unix.PACKET_FANOUT_FLAG_UNIQUEID) << 16
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, arg); err != nil {
		return fmt.Errorf("PACKET_FANOUT (is the interface up?): %w", err)
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return fmt.Errorf("PACKET_FANOUT: %w", err)
	}
	*group = got & 0xffff
	return nil
}

// unmute lets the sockets hear.
func (d *Device) unmute() error {
	for _, q := range d.queues {
		if err := unix.SetsockoptInt(q.FD(), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
			return fmt.Errorf("SO_DETACH_FILTER: %w", err)
		}
	}
	return nil
}

// kernelDrops returns how many packets the kernel has dropped for want of
// room in the socket since the last call.
func kernelDrops(fd int) uint64 {
	var s unix.TpacketStats
	size := uint32(unsafe.Sizeof(s))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_PACKET,
		unix.PACKET_STATISTICS, uintptr(unsafe.Pointer(&s)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0 // closed, and so nothing has been dropped
	}
	return uint64(s.Drops)
}
