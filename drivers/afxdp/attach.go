package afxdp

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// spareQueues is how many queues the program knows at least. It drops what
// comes by a queue that it does not know, and an interface may get more of
// them later.
const spareQueues = 256

// attach loads the program and puts it on the interface. Until a socket is
// registered for a queue, the packets of that queue pass to the kernel.
func (d *Device) attach(c *Config, ifindex, queues int) (err error) {
	// Kernels before 5.11 count maps as locked memory.
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise RLIMIT_MEMLOCK: %w", needs(err))
	}
	if d.program, d.guard, err = newProgram(max(queues, spareQueues)); err != nil {
		return fmt.Errorf("load program: %w", explain(err))
	}
	if err := d.guard.set(c.Guard); err != nil { // before the first packet
		return fmt.Errorf("guard: %w", err)
	}
	if c.Attach != Generic {
		d.link, err = attachAs(d.program, ifindex, link.XDPDriverMode)
		if d.native = err == nil; d.native {
			return nil
		}
		if c.Attach == Native || c.Mode == ZeroCopy {
			return fmt.Errorf("attach natively: %w", err)
		}
		d.refuse("native", err)
	}
	if d.link, err = attachAs(d.program, ifindex, link.XDPGenericMode); err != nil {
		return fmt.Errorf("attach in generic mode: %w", err)
	}
	return nil
}

// explain finds the cause of an error of newProgram, as a kernel says no more
// of a type of map that it does not have than of a wrong size.
func explain(err error) error {
	if cause := features.HaveMapType(ebpf.XSKMap); cause != nil {
		return needs(errors.Join(cause, err))
	}
	return needs(err)
}

func attachAs(p *xdp.Program, ifindex int, flags link.XDPAttachFlags) (link.Link, error) {
	l, err := link.AttachXDP(link.XDPOptions{Program: p.Program, Interface: ifindex, Flags: flags})
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("another XDP program is on the interface (ip link shows it): %w", err)
	}
	if err != nil {
		return nil, needs(err)
	}
	return l, nil
}

// unregister lets the packets of a queue pass to the kernel. The library's
// Unregister deletes from an array, which no kernel allows, and gives up there.
func (d *Device) unregister(queue int) error {
	if d.program == nil {
		return nil // off the interface already
	}
	if err := d.program.Queues.Put(uint32(queue), uint32(0)); err != nil {
		return err
	}
	return d.program.Sockets.Delete(uint32(queue))
}

// promiscuous returns a socket that receives nothing, and as long as it is
// open keeps the interface in promiscuous mode.
func promiscuous(ifindex int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("promiscuous mode: %w", needs(err))
	}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}); err != nil {
		return -1, errors.Join(fmt.Errorf("promiscuous mode: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// ethtoolChannels is struct ethtool_channels (linux/ethtool.h).
type ethtoolChannels struct {
	cmd                                 uint32
	maxRx, maxTx, maxOther, maxCombined uint32
	rx, tx, other, combined             uint32
}

// channels returns the number of receive queues that the interface uses. One
// without ethtool channels has one.
func channels(name string) (int, error) {
	c := ethtoolChannels{cmd: unix.ETHTOOL_GCHANNELS}
	err := ethtool(name, unsafe.Pointer(&c))
	switch {
	case err == nil:
		return max(int(c.rx+c.combined), 1), nil
	case errors.Is(err, unix.EOPNOTSUPP):
		return 1, nil
	}
	return 0, fmt.Errorf("channels: %w", err)
}
