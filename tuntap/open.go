package tuntap

import (
	"errors"
	"fmt"
	"os"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/vnet"
)

// The offloads to ask for (linux/if_tun.h). TUN_F_TSO_ECN is not among them:
// the kernel then cuts the few superpackets that carry CWR itself.
const (
	withTSO = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	withUSO = withTSO | unix.TUN_F_USO4 | unix.TUN_F_USO6 // since Linux 6.2, only together
)

// device is the kernel's clone device (Documentation/networking/tuntap.rst).
const device = "/dev/net/tun"

// A MissingError names what the kernel lacks and what to do about it.
type MissingError struct {
	Need string
	Err  error
}

func (e *MissingError) Error() string { return fmt.Sprintf("%s: %v", e.Need, e.Err) }
func (e *MissingError) Unwrap() error { return e.Err }

// Available says what is missing where this process can open no TUN: a
// *MissingError, or nil.
func Available() error {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("tuntap: %w", explain(err))
	}
	return unix.Close(fd)
}

// explain turns the errors of opening a TUN into what an operator can act on.
func explain(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return &MissingError{"needs " + device + ": modprobe tun, and let a container have the device 10:200", err}
	case errors.Is(err, os.ErrPermission):
		return &MissingError{"needs CAP_NET_ADMIN and write access to " + device, err}
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("another process has it, or the name is taken: %w", err)
	}
	return err
}

// flags returns the TUNSETIFF flags that Config means. Frames carry no
// protocol number (IFF_NO_PI): a TUN's packets tell their version themselves.
func (c Config) flags() uint16 {
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if c.Mode == TAP {
		flags = unix.IFF_TAP | unix.IFF_NO_PI
	}
	if c.Offload {
		flags |= unix.IFF_VNET_HDR
	}
	if c.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	return flags
}

// attach opens the device's queues, each by a call of queue. The calling thread
// is in its namespace.
func (c Config) attach(flags uint16, queue func(Config, uint16) (int, error)) (*Device, error) {
	d := &Device{name: c.Name, netNS: c.NetNS}
	if err := d.open(c, flags, queue); err != nil {
		return nil, errors.Join(explain(err), d.discard(false))
	}
	if err := d.begin(c); err != nil {
		return nil, errors.Join(err, d.discard(false))
	}
	return d, nil
}

// open opens queues until there are as many as c asks for, or as the interface
// can have.
func (d *Device) open(c Config, flags uint16, queue func(Config, uint16) (int, error)) error {
	want := max(c.Queues, 1)
	if flags&unix.IFF_MULTI_QUEUE == 0 {
		want = 1
	}
	for len(d.queues) < want {
		fd, err := queue(c, flags)
		if err != nil {
			return err
		}
		d.queues = append(d.queues, newQueue(fd, c.Offload))
		flags &^= unix.IFF_TUN_EXCL // from now on it exists, and is ours
	}
	return nil
}

// begin sets what belongs to the device and not to its interface.
func (d *Device) begin(c Config) (err error) {
	d.info = drivers.Info{Driver: c.Mode.String(), Ethernet: c.Mode == TAP, Detail: "plain, one packet at a time"}
	if c.Offload {
		d.info.Offload, d.info.Detail, err = setOffload(d.queues[0].fd)
	} else {
		// A persistent interface remembers what it was asked for before, and
		// would send superpackets without a header to tell.
		err = os.NewSyscallError("ioctl TUNSETOFFLOAD", unix.IoctlSetInt(d.queues[0].fd, unix.TUNSETOFFLOAD, 0))
	}
	if err == nil {
		err = os.NewSyscallError("ioctl TUNSETPERSIST", unix.IoctlSetInt(d.queues[0].fd, unix.TUNSETPERSIST, bit(c.Persist)))
	}
	if has := len(d.queues); has < c.Queues {
		d.info.Detail += fmt.Sprintf("; %d of %d queues, until it is made anew", has, c.Queues)
	}
	return err
}

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

// queue opens one queue and returns its non-blocking descriptor.
func (c Config) queue(flags uint16) (int, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", device, err)
	}
	req, err := unix.NewIfreq(c.Name)
	if err == nil {
		req.SetUint16(flags)
		err = os.NewSyscallError("ioctl TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, req))
	}
	if err == nil && c.Offload {
		err = os.NewSyscallError("ioctl TUNSETVNETHDRSZ", unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnet.HeaderLen))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// plainQueue makes a plain interface, or opens one more queue of it, by way of
// the water library, and takes over its descriptor: the library's own goes
// through Go's poller, and is inherited by child processes. It is not for
// Attach, because the library leaks a descriptor when TUNSETIFF fails, and
// there EBUSY is an everyday answer.
func (c Config) plainQueue(flags uint16) (int, error) {
	kind := water.DeviceType(water.TUN)
	if c.Mode == TAP {
		kind = water.TAP
	}
	dev, err := water.New(water.Config{DeviceType: kind, PlatformSpecificParams: water.PlatformSpecificParams{
		Name: c.Name, Persist: c.Persist, MultiQueue: flags&unix.IFF_MULTI_QUEUE != 0,
	}})
	if err != nil {
		return -1, err
	}
	defer dev.Close()
	file, ok := dev.ReadWriteCloser.(*os.File)
	if !ok {
		return -1, fmt.Errorf("water gives a %T, not a file", dev.ReadWriteCloser)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	if e := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); e != nil {
		return -1, e
	}
	return fd, err
}

// setOffload switches on what the kernel has, and says what that is.
func setOffload(fd int) (drivers.Offload, string, error) {
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, withUSO) == nil {
		return drivers.AllOffloads, "offload on: checksum, TSO4, TSO6, USO", nil
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, withTSO); err != nil {
		return 0, "", os.NewSyscallError("ioctl TUNSETOFFLOAD", err)
	}
	return drivers.AllOffloads &^ drivers.USO, "offload on: checksum, TSO4, TSO6; USO needs Linux 6.2", nil
}
