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
		if len(m.Data) < unix.SizeofRtMsg {
			return false
		}
		attrs, err := nl.ParseRouteAttr(m.Data[unix.SizeofRtMsg:])
		for _, a := range attrs {
			switch a.Attr.Type {
			case unix.RTA_MULTIPATH:
				return true // perhaps
			case unix.RTA_OIF:
				return len(a.Value) >= 4 && binary.NativeEndian.Uint32(a.Value) == uint32(index)
			}
		}
		return err != nil
	}
	return false
}
