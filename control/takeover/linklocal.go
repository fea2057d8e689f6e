package takeover

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// withoutGenerated deletes link-local addresses that the host has not had. When
// a link gets its carrier, the kernel makes one of its MAC beside one that was
// made of another MAC.
func (a *applying) withoutGenerated() {
	mac, err := net.ParseMAC(a.s.MAC)
	if err != nil || !a.s.Up || !a.s.hasLinkLocal() || a.s.has(eui64(mac)) {
		return
	}
	for end := time.Now().Add(addrLimit); time.Now().Before(end) && !running(a.link); {
		time.Sleep(time.Millisecond)
	}
	has, err := readAddrs(a.link)
	a.try("read addresses", err)
	for _, h := range has {
		if addr := h.Prefix.Addr(); addr == eui64(mac) {
			a.try("delete "+h.Prefix.String(), netlink.AddrDel(a.link, h.netlink()))
		}
	}
}

func running(link netlink.Link) bool {
	now, err := netlink.LinkByIndex(link.Attrs().Index)
	return err != nil || now.Attrs().RawFlags&unix.IFF_RUNNING != 0
}

func (s *Snapshot) has(addr netip.Addr) bool {
	return slices.ContainsFunc(s.Addrs, func(a Addr) bool { return a.Prefix.Addr() == addr })
}

// eui64 returns the link-local address that the kernel makes of a MAC (RFC
// 4291, appendix A).
func eui64(mac net.HardwareAddr) netip.Addr {
	if len(mac) != 6 {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}
