package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/skein-dataplane/skein/drivers"
	"golang.org/x/sys/unix"
)

// deaf is a classic BPF program that accepts no byte of any packet.
var deaf = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}

// needs says what to do about errors that have a usual cause.
func needs(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return &drivers.Missing{What: "CAP_NET_RAW and CAP_NET_ADMIN", Remedy: "run as root or grant them", Err: err}
	case errors.Is(err, unix.EAFNOSUPPORT):
		return &drivers.Missing{What: "packet sockets", Remedy: "use a kernel built with CONFIG_PACKET", Err: err}
	}
	return err
}

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
	for _, o := range []struct {
		name              string
		level, opt, value int
	}{
		{"SO_RCVBUFFORCE", unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, c.RxBytes},
		{"SO_SNDBUFFORCE", unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, c.TxBytes},
		{"PACKET_VNET_HDR", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		{"PACKET_AUXDATA", unix.SOL_PACKET, unix.PACKET_AUXDATA, 1},
		{"PACKET_IGNORE_OUTGOING", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("%s: %w", o.name, needs(err))
		}
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
