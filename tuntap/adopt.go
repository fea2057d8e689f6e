package tuntap

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Dup returns descriptors of the device's queues that stay open when those are
// closed, to be handed to another process. As long as they are open the
// interface keeps its carrier, and the kernel keeps packets for their reader.
func (d *Device) Dup() (fds []int, err error) {
	for _, q := range d.queues {
		fd, err := unix.FcntlInt(uintptr(q.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
			return nil, fmt.Errorf("tuntap: %q: %w", d.name, os.NewSyscallError("dup", err))
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// Adopt makes a device of the descriptors of one that another process has
// opened with the same Name, NetNS, Mode and Offload; MTU, TxQueueLen and MAC
// are set where Config gives them. It takes the descriptors over, also if it
// fails.
func Adopt(c Config, fds []int) (*Device, error) {
	d, err := open("adopt", c, func() (*Device, error) {
		d := &Device{name: c.Name, netNS: c.NetNS}
		for _, fd := range fds {
			if err := c.opened(fd); err != nil {
				return nil, err
			}
			d.queues = append(d.queues, newQueue(fd, c.Offload))
		}
		if len(fds) == 0 {
			return nil, errors.New("no descriptors")
		}
		if err := d.begin(c); err != nil {
			return nil, err
		}
		return d, d.prepare(c)
	})
	if err != nil {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return nil, err
	}
	return d, nil
}

// opened checks that a descriptor is a queue of the interface, with a header
// before each packet or without as Config says.
func (c Config) opened(fd int) error {
	req, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, req); err != nil {
		return os.NewSyscallError("ioctl TUNGETIFF", err)
	}
	const kind = unix.IFF_TUN | unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	if has, want := req.Uint16()&kind, c.flags()&kind; req.Name() != c.Name || has != want {
		return fmt.Errorf("the descriptor is of %q with flags %#x, not %#x", req.Name(), has, want)
	}
	return nil
}
