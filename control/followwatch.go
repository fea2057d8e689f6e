package control

import (
	"context"
	"encoding/binary"
	"fmt"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// watch wakes the follower when the kernel reports a change of an interface in
// a namespace, of its addresses or of routes over it; of any, if index is 0.
// netns.None() stands for the daemon's own namespace.
func (f *follower) watch(ctx context.Context, ns netns.NsHandle, index int) error {
	s, err := nl.SubscribeAt(ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("subscribe to netlink: %w", err)
	}
	context.AfterFunc(ctx, s.Close)
	f.wg.Go(func() {
		for {
			news, _, err := s.Receive()
			if ctx.Err() != nil {
				return
			}
			// An error means that news were lost, usually for want of room
			// (ENOBUFS): then anything may have changed.
			if err != nil || concerns(news, index) {
				f.poke()
			}
			if err != nil {
				time.Sleep(quiet) // whatever it is, it is not asked for in a loop
			}
		}
	})
	return nil
}

// poke has the follower look.
func (f *follower) poke() {
	select {
	case f.wake <- struct{}{}:
	default: // it will
	}
}

// concerns reports whether any of the kernel's messages is about an interface.
func concerns(news []syscall.NetlinkMessage, index int) bool {
	for _, m := range news {
		if index == 0 || about(m, index) {
			return true
		}
	}
	return false
}

// about reports whether a message is about an interface. Struct ifinfomsg and
// struct ifaddrmsg have its index at byte 4 (rtnetlink(7)).
func about(m syscall.NetlinkMessage, index int) bool {
	const at = 4
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return len(m.Data) >= at+4 && binary.NativeEndian.Uint32(m.Data[at:]) == uint32(index)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(m.Data) >= unix.SizeofRtMsg && routeAbout(m.Data[unix.SizeofRtMsg:], index)
	}
	return false
}

// routeAbout reports whether the attributes of a route, struct rtattr each with
// its value, aligned to 4 bytes (rtnetlink(7)), lead over an interface.
func routeAbout(attrs []byte, index int) bool {
	for len(attrs) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(attrs))
		if n < unix.SizeofRtAttr || n > len(attrs) {
			return true // not to be understood: better look
		}
		value := attrs[unix.SizeofRtAttr:n]
		switch binary.NativeEndian.Uint16(attrs[2:]) {
		case unix.RTA_MULTIPATH:
			return true // perhaps
		case unix.RTA_OIF:
			return len(value) >= 4 && binary.NativeEndian.Uint32(value) == uint32(index)
		}
		attrs = attrs[min((n+3)&^3, len(attrs)):]
	}
	return false
}
