// Package afxdp answers one question: how do packets get in and out of a NIC
// without passing the kernel's stack?
//
// By AF_XDP sockets (Linux, Documentation/networking/af_xdp.rst). A program on
// the interface redirects each of its queues to a socket, and the kernel puts
// packets straight into the frames of a worker's buf.Pool, 256 bytes after
// their start; what is sent is read from there.
//
// The program does what that of github.com/asavie/xdp does, behind a
// drivers.Guard: a list of sources that are denied, and a limit of packets per
// second (newProgram). Without a Guard it costs the same; a list costs 20 ns per
// packet that passes and 20 to 75 ns per packet that is dropped, the latter at
// 65,536 prefixes, and a limit costs 30 ns (BenchmarkProgram, EPYC Zen 5). It is
// attached by a bpf_link instead of that library's netlink message: a link ends with
// the process, whatever ends it, and the packets go to the kernel again; a
// program attached by netlink would stay and drop them all. The rings are our
// own, since that library's socket allocates, loses packets on transmit and
// panics when a link goes down.
//
// A queue keeps up to Config.Ring of its pool's small buffers ready to receive
// into, and as many again while they are being sent. In zero-copy mode half of
// the pool's small buffers cannot be used at all (see aside).
//
// Frames hold at most MaxFrame bytes, so superpackets must be cut, and checksums
// finished, before they go into a ring. Where the kernel copies frames anyway,
// TCP's go to it whole instead, by a packet socket (see Superpackets). Attaching
// natively makes the other end of a veth cable stop sending superpackets.
//
// A NIC that takes VLAN tags out of frames hides them from XDP: that offload
// (rx-vlan-offload in ethtool -k) is off while the device is open. A veth shows
// no tag that its other end has put beside the frame (tx-vlan-offload there).
//
// Maturity: copy mode is tested on veth in native and generic mode; zero-copy
// mode has not been run on hardware.
package afxdp

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf/link"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/inns"
	"golang.org/x/sys/unix"
)

// MaxFrame is the longest frame that can be received, in bytes.
const MaxFrame = buf.SmallStride - buf.Headroom

// MaxMTU leaves room for an Ethernet header and a VLAN tag.
const MaxMTU = MaxFrame - 18

// DefaultRing is the number of entries in each ring. Copy mode on one core
// receives that many 64-byte packets in 2 ms.
const DefaultRing = 2048

// Mode says whether the NIC itself reads and writes the frames.
type Mode string

const (
	AutoMode Mode = ""         // zero-copy, else copy
	ZeroCopy Mode = "zerocopy" // or fail
	Copy     Mode = "copy"
)

// Attach says where the program runs.
type Attach string

const (
	AutoAttach Attach = ""        // native, else generic
	Native     Attach = "native"  // in the NIC's driver, or fail
	Generic    Attach = "generic" // in the stack, after the driver; always copies, and drops superpackets
)

// Config says what to open.
type Config struct {
	Interface string
	NetNS     string // path of its network namespace; empty: the caller's
	Queues    int    // serve the first so many of the NIC's queues; 0: all
	Ring      int    // entries per ring, a power of two; 0: DefaultRing
	Mode      Mode
	Attach    Attach
	// Superpackets says whether those of TCP go whole.
	Superpackets Superpackets
	// BusyPoll, if it is not 0, has the worker run the NIC's driver, when it asks
	// for packets, for as many of them at a time, instead of interrupts. So the
	// two do not compete for a core, which pays for one that has nothing else to
	// do: the queue has no descriptor to sleep on, and its worker never sleeps. It
	// takes effect where the interface holds interrupts back meanwhile, by
	// napi_defer_hard_irqs and gro_flush_timeout in /sys/class/net/NAME. A veth
	// gains nothing.
	BusyPoll int
	Guard    drivers.Guard // holds from the first packet on; see SetGuard
}

// A Device is an interface whose packets come by AF_XDP.
type Device struct {
	info     drivers.Info
	queues   []drivers.Queue
	program  *xdp.Program
	guard    *guard
	link     link.Link
	promisc  int // a packet socket that only keeps promiscuous mode on, or -1
	native   bool
	zeroCopy bool
	refused  []string
	tags     func() error // lets the NIC take VLAN tags out of frames again, or nil
}

// Open attaches to an interface, in promiscuous mode. Queue i of
// the device belongs to the pool i modulo len(pools), and may be used with
// that one only; queues of one pool share its memory. The pools are not
// touched before the first Rx.
//
// It needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF. The error is a
// *drivers.Missing if the kernel or the interface does not give what it takes.
func Open(c Config, pools []*buf.Pool) (*Device, error) {
	if c.Ring == 0 {
		c.Ring = DefaultRing
	}
	d := &Device{promisc: -1}
	err := c.check(pools)
	if err == nil {
		err = inns.Do(c.NetNS, func() error { return d.open(c, pools) })
	}
	if err != nil {
		for _, q := range d.queues {
			err = errors.Join(err, q.(*queue).closeFDs())
		}
		return nil, fmt.Errorf("afxdp: open %s: %w", c.Interface, errors.Join(err, d.Close()))
	}
	return d, nil
}

func (c *Config) check(pools []*buf.Pool) error {
	switch {
	case len(pools) == 0:
		return errors.New("no pool")
	case c.Queues < 0:
		return fmt.Errorf("%d queues", c.Queues)
	case c.Ring < chunk || c.Ring&(c.Ring-1) != 0:
		return fmt.Errorf("%d entries per ring: not a power of two from %d up", c.Ring, chunk)
	case c.Superpackets != AutoSuperpackets && c.Superpackets != Whole && c.Superpackets != Cut:
		return fmt.Errorf("superpackets %q: neither whole nor cut", c.Superpackets)
	case c.BusyPoll < 0 || c.BusyPoll > MaxBusyPoll:
		return fmt.Errorf("busy polling of %d packets: not in 0..%d", c.BusyPoll, MaxBusyPoll)
	case c.Mode == ZeroCopy && c.Attach == Generic:
		return errors.New("zero-copy needs the program to be attached natively")
	}
	return nil
}

func (d *Device) open(c Config, pools []*buf.Pool) error {
	nic, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return err
	}
	if nic.MTU > MaxMTU {
		return &drivers.Missing{What: fmt.Sprintf("an MTU of at most %d bytes", MaxMTU),
			Remedy: fmt.Sprintf("lower that of %s from %d, or use the driver af_packet", c.Interface, nic.MTU)}
	}
	total, err := channels(c.Interface)
	if err != nil {
		return err
	}
	serve := total
	if c.Queues > 0 {
		serve = min(c.Queues, total)
	}
	if err := d.attach(&c, nic.Index, total); err != nil {
		return err
	}
	if err := d.bind(&c, nic.Index, serve, pools); err != nil {
		return err
	}
	if d.promisc, err = promiscuous(nic.Index); err != nil {
		return err
	}
	if took, err := keepTags(c.Interface); err != nil {
		d.refuse("VLAN tags in frames", err)
	} else if took {
		d.tags = func() error { return inns.Do(c.NetNS, func() error { return takeTags(c.Interface) }) }
	}
	d.info = drivers.Info{Driver: "af_xdp", Ethernet: true, MAC: nic.HardwareAddr, MTU: nic.MTU,
		Detail: d.detail(serve, total)}
	if err := d.takeWhole(c.Superpackets, nic.Index); err != nil {
		return err
	}
	return d.poll(c.BusyPoll)
}

// Info implements drivers.Device.
func (d *Device) Info() drivers.Info { return d.info }

// Queues implements drivers.Device.
func (d *Device) Queues() []drivers.Queue { return d.queues }

// ZeroCopy reports whether the NIC itself reads and writes the frames.
func (d *Device) ZeroCopy() bool { return d.zeroCopy }

// Refused returns, in words, what was tried and not given.
func (d *Device) Refused() []string { return d.refused }

// Close implements drivers.Device. It takes the program off the interface, so
// that all packets go to the kernel's own stack again.
func (d *Device) Close() error {
	var errs []error
	if d.link != nil {
		errs = append(errs, d.link.Close())
		d.link = nil
	}
	if d.program != nil {
		errs = append(errs, d.program.Close())
		d.program = nil
	}
	if d.guard != nil {
		errs = append(errs, d.guard.close())
	}
	if d.promisc >= 0 {
		errs = append(errs, unix.Close(d.promisc))
		d.promisc = -1
	}
	if d.tags != nil {
		if err := d.tags(); !errors.Is(err, unix.ENODEV) && !errors.Is(err, os.ErrNotExist) { // the interface is gone, or its namespace
			errs = append(errs, err)
		}
		d.tags = nil
	}
	return errors.Join(errs...)
}

var _ drivers.Device = (*Device)(nil)
