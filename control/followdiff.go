package control

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/control/takeover"
)

// Differences returns, in ip(8)'s words, what turns one configuration of the
// host into another. How long addresses are still valid is not part of it.
func Differences(was, now takeover.Snapshot) (out []string) {
	if was.Up != now.Up {
		out = append(out, "link "+pick(now.Up, "up", "down"))
	}
	if was.MTU != now.MTU {
		out = append(out, fmt.Sprintf("mtu %d", now.MTU))
	}
	if was.MAC != now.MAC {
		out = append(out, "address "+now.MAC)
	}
	out = append(out, lines(was.Addrs, now.Addrs, addrText)...)
	return append(out, lines(was.Routes, now.Routes, routeText)...)
}

// lines returns what was deleted and what was added, each in its old order.
func lines[T any](was, now []T, text func(T) string) (out []string) {
	for _, side := range []struct {
		verb      string
		these, in []T
	}{{"del ", was, now}, {"add ", now, was}} {
		known := map[string]bool{}
		for _, x := range side.in {
			known[text(x)] = true
		}
		for _, x := range side.these {
			if t := text(x); !known[t] {
				out = append(out, side.verb+t)
			}
		}
	}
	return out
}

// passing are the flags of an address that come and go by themselves: they say
// how far duplicate address detection is, and what is left of its life.
const passing = unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC | unix.IFA_F_DEPRECATED | unix.IFA_F_PERMANENT | unix.IFA_F_NODAD

func addrText(a takeover.Addr) string {
	var b strings.Builder
	fmt.Fprintf(&b, "addr %s", a.Prefix)
	if a.Peer.IsValid() {
		fmt.Fprintf(&b, " peer %s", a.Peer)
	}
	if a.Broadcast.IsValid() {
		fmt.Fprintf(&b, " brd %s", a.Broadcast)
	}
	if a.Scope != unix.RT_SCOPE_UNIVERSE {
		fmt.Fprintf(&b, " scope %d", a.Scope)
	}
	if a.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", a.Metric)
	}
	if a.Label != "" {
		fmt.Fprintf(&b, " label %s", a.Label)
	}
	f := a.Flags &^ passing
	if a.Prefix.Addr().Is4() {
		f &^= unix.IFA_F_SECONDARY // it becomes the primary one when that goes
	}
	if f != 0 {
		fmt.Fprintf(&b, " flags %#x", f)
	}
	return b.String()
}

func routeText(r takeover.Route) string {
	var b strings.Builder
	fmt.Fprintf(&b, "route %s", r.Dst)
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Via)
	}
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	fmt.Fprintf(&b, " proto %d", r.Protocol)
	for _, x := range []struct {
		word  string
		value int
		usual int
	}{{"metric", r.Metric, 0}, {"table", r.Table, unix.RT_TABLE_MAIN}, {"type", r.Type, unix.RTN_UNICAST}, {"scope", r.Scope, unix.RT_SCOPE_UNIVERSE},
		{"tos", r.TOS, 0}, {"mtu", r.MTU, 0}, {"advmss", r.AdvMSS, 0}, {"flags", r.Flags, 0}} {
		if x.value != x.usual {
			fmt.Fprintf(&b, " %s %d", x.word, x.value)
		}
	}
	return b.String()
}

// slack is how far lifetimes may be off, in seconds: the kernel rounds them.
const slack = 5

// renewed reports whether an address lives longer, or shorter, than was to be
// expected some time ago, as after a DHCP client's renewal.
func renewed(was, now takeover.Snapshot, ago time.Duration) bool {
	left := map[string]int{}
	for _, a := range was.Addrs {
		left[addrText(a)] = a.Valid - min(a.Valid, int(ago.Seconds()))
	}
	for _, a := range now.Addrs {
		want, known := left[addrText(a)]
		if known && (a.Valid > want+slack || a.Valid < want-slack) {
			return true
		}
	}
	return false
}
