package control

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/drivers/afxdp"
	"github.com/skein-dataplane/skein/drivers/auto"
	"github.com/skein-dataplane/skein/hdr"
)

// A side is a link as one end has it: the TAP in the host's namespace, or the
// NIC in its own.
type side struct {
	up      bool // set up by its administrator
	carrier bool // of the NIC
	mtu     int  // bytes
	mac     hdr.MAC
}

// sides are both.
type sides struct{ tap, nic side }

// sideOf returns the TAP's side.
func sideOf(s takeover.Snapshot) side {
	out := side{up: s.Up, carrier: true, mtu: s.MTU}
	if a, err := net.ParseMAC(s.MAC); err == nil {
		out.mac = mac(a)
	}
	return out
}

// readNIC returns the NIC's side. One that is gone, or can't be read, has no
// carrier, and is otherwise as the TAP is: there is nothing to set.
func (f *follower) readNIC(tap side) side {
	link, err := f.nic.LinkByName(f.name)
	if err != nil {
		tap.carrier = false
		return tap
	}
	a := link.Attrs()
	return side{up: a.Flags&net.FlagUp != 0, carrier: a.RawFlags&unix.IFF_LOWER_UP != 0, mtu: a.MTU, mac: mac(a.HardwareAddr)}
}

// A linkStep makes one side as the other is.
type linkStep struct {
	nic  bool // the NIC is changed, else the TAP
	what linkWhat
	on   bool
	mtu  int
	mac  hdr.MAC
}

type linkWhat uint8

const (
	_           linkWhat = iota
	linkUp               // set up or down
	linkCarrier          // let the host see a carrier, or none
	linkMTU
	linkMAC
)

func (s linkStep) String() string {
	who := "tap"
	if s.nic {
		who = "uplink"
	}
	switch s.what {
	case linkUp:
		return who + map[bool]string{true: " up", false: " down"}[s.on]
	case linkCarrier:
		return who + " carrier" + map[bool]string{true: " on", false: " off"}[s.on]
	case linkMTU:
		return fmt.Sprintf("%s mtu %d", who, s.mtu)
	case linkMAC:
		return fmt.Sprintf("%s address %s", who, macText(s.mac))
	}
	return who
}

// agree returns what is to be done so that both sides are the same again. The
// host decides about up and down, the NIC about the carrier. For MTU and MAC
// the side that has changed since the last time is right, and the host if both
// have; so what one side has refused is taken back on the other the next time.
// told is the carrier that the TAP has.
func agree(was, is sides, told bool) (steps []linkStep) {
	if is.tap.mtu != is.nic.mtu {
		host := is.tap.mtu != was.tap.mtu
		steps = append(steps, linkStep{nic: host, what: linkMTU, mtu: pick(host, is.tap.mtu, is.nic.mtu)})
	}
	if is.tap.mac != is.nic.mac {
		host := is.tap.mac != was.tap.mac
		steps = append(steps, linkStep{nic: host, what: linkMAC, mac: pick(host, is.tap.mac, is.nic.mac)})
	}
	if is.tap.up != is.nic.up {
		steps = append(steps, linkStep{nic: true, what: linkUp, on: is.tap.up})
	}
	// A NIC that is down shows no carrier, which says nothing of the cable.
	if is.nic.up && is.tap.up && is.nic.carrier != told {
		steps = append(steps, linkStep{what: linkCarrier, on: is.nic.carrier})
	}
	return steps
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// do takes a step.
func (f *follower) do(s linkStep) error {
	if s.what == linkCarrier {
		if err := f.take.Tap.SetCarrier(s.on); err != nil {
			return err
		}
		f.told = s.on
		return nil
	}
	h := &netlink.Handle{} // of the calling thread's namespace
	if s.nic {
		h = f.nic
	}
	link, err := h.LinkByName(f.name)
	if err != nil {
		return err
	}
	switch s.what {
	case linkUp:
		if s.on {
			return h.LinkSetUp(link)
		}
		return h.LinkSetDown(link)
	case linkMTU:
		if driver := f.up.device.Info().Driver; s.nic && driver == auto.AFXDP && s.mtu > afxdp.MaxMTU {
			return fmt.Errorf("AF_XDP carries at most %d bytes: restart with the driver af_packet, or auto, for more", afxdp.MaxMTU)
		}
		return h.LinkSetMTU(link, s.mtu)
	case linkMAC:
		return setMAC(h, link, s.mac[:])
	}
	return nil
}

// setMAC sets a link address, also of hardware that takes one only while it is
// down.
func setMAC(h *netlink.Handle, link netlink.Link, mac net.HardwareAddr) error {
	err := h.LinkSetHardwareAddr(link, mac)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if err := h.LinkSetDown(link); err != nil {
		return err
	}
	return errors.Join(h.LinkSetHardwareAddr(link, mac), h.LinkSetUp(link))
}
