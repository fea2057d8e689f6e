// Package tuntap answers one question: how does a packet cross between Skein
// and a namespace of this machine?
//
// By a TUN, which carries IP packets, or a TAP, which carries Ethernet frames.
// With offload, a virtio-net header before each packet carries TCP and UDP
// superpackets of up to 64 KiB and checksums that nobody needs to compute;
// without it, the device is a plain one, for kernels and uses that have no
// such header.
//
// Create and Attach return a drivers.Device whose queues the data plane owns;
// Link is the other side, the interface that the namespace sees. Maturity:
// stable.
package tuntap

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/drivers"
)

// A Mode is the layer that a device's packets start at.
type Mode uint8

const (
	TUN Mode = iota // IP packets
	TAP             // Ethernet frames
)

func (m Mode) String() string {
	if m == TAP {
		return "tap"
	}
	return "tun"
}

// MaxQueues is the kernel's MAX_TAP_QUEUES.
const MaxQueues = 256

// Config describes a device.
type Config struct {
	Name string // of the interface, at most 15 bytes
	Mode Mode

	// NetNS is the file of the namespace that the interface lives in, such as
	// CNI_NETNS or /proc/self/fd/N; "" is the calling thread's own.
	NetNS string

	// Queues is how many there are to be; 0: 1. With more, the kernel spreads
	// flows over them: a flow's packets come by the queue that the last packet
	// of its answers was written to, or else by one that its hash names.
	Queues  int
	Offload bool // carry superpackets and unfinished checksums
	Persist bool // the interface outlives the process

	// NoQueue has packets go to the device without a queueing discipline. None
	// ever holds one back, as a device drops what it has no room for. It has to
	// be asked for when the interface is made, or is down: see SetNoQueue.
	NoQueue bool

	// MTU is in bytes, without the Ethernet header; 0: leave it, which for a
	// new device is 1500. Without offload, an MTU above 1841 has to be set
	// before the device is opened, or here: larger packets are lost otherwise.
	MTU int

	TxQueueLen int              // packets that the kernel holds for a slow reader; 0: leave it
	MAC        net.HardwareAddr // of the namespace's side of a TAP; nil: leave it
}

// A Device is an open TUN or TAP.
type Device struct {
	name   string
	netNS  string
	index  int
	info   drivers.Info
	queues []*Queue
}

var _ drivers.Device = (*Device)(nil)

// Create makes an interface that does not exist yet, set down, and opens it.
// It wraps os.ErrExist if the name is taken, and returns a *MissingError where
// the kernel has no TUN. On an error nothing is left.
func Create(c Config) (*Device, error) {
	return open("create", c, func() (*Device, error) {
		if _, err := netlink.LinkByName(c.Name); err == nil {
			return nil, os.ErrExist
		}
		queue := Config.queue
		if !c.Offload {
			queue = Config.plainQueue
		}
		d, err := c.attach(c.flags()|unix.IFF_TUN_EXCL, queue)
		if err != nil {
			return nil, err
		}
		if err := d.prepare(c); err != nil {
			return nil, errors.Join(err, d.discard(true))
		}
		return d, nil
	})
}

// Attach opens a persistent interface that an earlier process has made. The
// interface keeps its state, addresses and routes; MTU, TxQueueLen, NoQueue and
// MAC are set where Config gives them. One that was made with a single queue
// cannot have more (the kernel fixes IFF_MULTI_QUEUE then): it is opened with
// that one, and Info says so. Attach wraps os.ErrNotExist if there is none, and
// unix.EBUSY while another process has one with a single queue.
func Attach(c Config) (*Device, error) {
	return open("attach to", c, func() (*Device, error) {
		link, err := netlink.LinkByName(c.Name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil, os.ErrNotExist
		}
		if err != nil {
			return nil, err
		}
		old, ok := link.(*netlink.Tuntap)
		if !ok {
			return nil, fmt.Errorf("the interface is a %s", link.Type())
		}
		if (old.Mode == netlink.TUNTAP_MODE_TAP) != (c.Mode == TAP) {
			return nil, fmt.Errorf("the interface is a %v", old.Mode)
		}
		flags := c.flags()
		// Single or multi-queue is settled when the interface is made.
		if multi := old.Flags&netlink.TUNTAP_MULTI_QUEUE != 0; multi {
			flags |= unix.IFF_MULTI_QUEUE
		} else {
			flags &^= unix.IFF_MULTI_QUEUE
		}
		c.Persist = !old.NonPersist
		d, err := c.attach(flags, Config.queue)
		if err != nil {
			return nil, err
		}
		if err := d.prepare(c); err != nil {
			return nil, errors.Join(err, d.discard(false))
		}
		return d, nil
	})
}

func open(verb string, c Config, f func() (*Device, error)) (d *Device, err error) {
	err = c.check()
	if err == nil {
		err = inNetNS(c.NetNS, func() (err error) { d, err = f(); return err })
	}
	if err != nil {
		return nil, fmt.Errorf("tuntap: %s %v %q: %w", verb, c.Mode, c.Name, err)
	}
	return d, nil
}

func (c Config) check() error {
	switch {
	case c.Name == "" || len(c.Name) >= unix.IFNAMSIZ || strings.ContainsAny(c.Name, "/%: \t\n"):
		return fmt.Errorf("not a name of 1 to %d bytes", unix.IFNAMSIZ-1)
	case c.Queues < 0 || c.Queues > MaxQueues:
		return fmt.Errorf("%d queues: want at most %d", c.Queues, MaxQueues)
	case c.Mode > TAP:
		return fmt.Errorf("unknown mode %d", c.Mode)
	case c.MAC != nil && (c.Mode == TUN || len(c.MAC) != 6):
		return fmt.Errorf("MAC %v: only a TAP has one, of 6 bytes", c.MAC)
	}
	return nil
}

// Name returns the interface's name.
func (d *Device) Name() string { return d.name }

// Index returns the interface's number in its namespace.
func (d *Device) Index() int { return d.index }

// Info says what the device is, as it was when it was opened.
func (d *Device) Info() drivers.Info { return d.info }

// Queues returns the device's queues.
func (d *Device) Queues() []drivers.Queue {
	qs := make([]drivers.Queue, len(d.queues))
	for i, q := range d.queues {
		qs[i] = q
	}
	return qs
}

// Close does nothing: the device's resources are its queues'. With the last
// queue, an interface that is not persistent disappears.
func (d *Device) Close() error { return nil }

// SetPersist says whether the interface outlives the process.
func (d *Device) SetPersist(on bool) error {
	err := os.NewSyscallError("ioctl TUNSETPERSIST", unix.IoctlSetInt(d.queues[0].fd, unix.TUNSETPERSIST, bit(on)))
	if err != nil {
		return fmt.Errorf("tuntap: %q: %w", d.name, err)
	}
	return nil
}

// Delete deletes the interface, also a persistent one. Its queues still have
// to be closed. An interface that is gone already is no error.
func (d *Device) Delete() error { return Delete(d.netNS, d.name) }

// ErrOther says that an interface is neither a TUN nor a TAP.
var ErrOther = errors.New("neither a TUN nor a TAP")

// Delete deletes the TUN or TAP of that name in a namespace. One that is gone
// already is no error, nor is a namespace that is gone. Any other interface
// stays, and the error wraps ErrOther.
func Delete(netNS, name string) error {
	if netNS != "" {
		if _, err := IdentifyNetNS(netNS); gone(err) {
			return nil // and the interface with it
		}
	}
	err := inNetNS(netNS, func() error {
		link, err := netlink.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, ok := link.(*netlink.Tuntap); !ok {
			return fmt.Errorf("the interface is a %s: %w", link.Type(), ErrOther)
		}
		return netlink.LinkDel(link)
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("tuntap: delete %q: %w", name, err)
	}
	return nil
}

// discard closes the queues of a device that was never handed out, and deletes
// the interface if it is this process's own.
func (d *Device) discard(own bool) error {
	var errs []error
	if own {
		if link, err := netlink.LinkByName(d.name); err == nil {
			errs = append(errs, netlink.LinkDel(link))
		}
	}
	for _, q := range d.queues {
		errs = append(errs, unix.Close(q.fd))
	}
	return errors.Join(errs...)
}
