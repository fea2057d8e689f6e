package afxdp

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rxVLAN is ETH_FLAG_RXVLAN (linux/ethtool.h): the NIC takes VLAN tags out of
// frames.
const rxVLAN = 1 << 8

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct{ cmd, data uint32 }

// TakesTags reports whether an interface of the calling thread's namespace
// takes VLAN tags out of the frames that it receives (rx-vlan-offload in
// ethtool -k). Open changes that.
func TakesTags(name string) (bool, error) {
	flags, err := ethtoolFlags(name, unix.ETHTOOL_GFLAGS, 0)
	return flags&rxVLAN != 0, err
}

// TakeTags has an interface take VLAN tags out of frames again, for a Device
// that was not closed.
func TakeTags(name string) error { return takeTags(name) }

// keepTags has the NIC leave VLAN tags in frames, and reports whether it took
// them out before. XDP does not see a tag beside the frame, so that a frame of
// a VLAN would pass for one of none.
func keepTags(name string) (was bool, err error) {
	flags, err := ethtoolFlags(name, unix.ETHTOOL_GFLAGS, 0)
	if err != nil || flags&rxVLAN == 0 {
		return false, err
	}
	_, err = ethtoolFlags(name, unix.ETHTOOL_SFLAGS, flags&^rxVLAN)
	return err == nil, err
}

// takeTags undoes keepTags.
func takeTags(name string) error {
	flags, err := ethtoolFlags(name, unix.ETHTOOL_GFLAGS, 0)
	if err == nil {
		_, err = ethtoolFlags(name, unix.ETHTOOL_SFLAGS, flags|rxVLAN)
	}
	return err
}

// ethtoolFlags reads or writes the flags. An interface without any has none.
func ethtoolFlags(name string, cmd, data uint32) (uint32, error) {
	v := ethtoolValue{cmd, data}
	err := ethtool(name, unsafe.Pointer(&v))
	if errors.Is(err, unix.EOPNOTSUPP) {
		return 0, nil
	}
	return v.data, err
}

// ethtool makes a request of an interface of the calling thread's namespace.
func ethtool(name string, request unsafe.Pointer) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("ethtool: %w", err)
	}
	defer unix.Close(fd)
	var req struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // the rest of struct ifreq
	}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	req.data = request
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return os.NewSyscallError("ioctl SIOCETHTOOL", errno)
	}
	return nil
}
