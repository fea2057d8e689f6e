package takeover

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The netlink library knows nothing of the metric that an address gives the
// route of its prefix, and that DHCP clients set. So it is read and set here.

// ifaRTPriority is IFA_RT_PRIORITY (linux/if_addr.h).
const ifaRTPriority = 9

// An addrKey is what the kernel knows an address of an interface by.
type addrKey struct{ local, peer netip.Prefix }

func (a Addr) key() addrKey {
	if a.Peer.IsValid() {
		return addrKey{netip.PrefixFrom(a.Prefix.Addr(), a.Peer.Bits()), a.Peer}
	}
	return addrKey{a.Prefix, a.Prefix}
}

// readMetrics returns the metrics of those addresses of an interface that have
// one.
func readMetrics(index int) (map[addrKey]int, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	out := map[addrKey]int{}
	for _, m := range messages {
		if len(m) < unix.SizeofIfAddrmsg || int(nl.DeserializeIfAddrmsg(m).Index) != index {
			continue
		}
		values, err := attributes(m[unix.SizeofIfAddrmsg:])
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		metric := values[ifaRTPriority]
		peer, ok := netip.AddrFromSlice(values[unix.IFA_ADDRESS])
		if len(metric) != 4 || !ok {
			continue
		}
		local, ok := netip.AddrFromSlice(values[unix.IFA_LOCAL])
		if !ok {
			local = peer // IPv6 without a peer
		}
		bits := int(nl.DeserializeIfAddrmsg(m).Prefixlen)
		out[addrKey{netip.PrefixFrom(local, bits), netip.PrefixFrom(peer, bits)}] = int(binary.NativeEndian.Uint32(metric))
	}
	return out, nil
}

// setAddr adds an address, or gives one that is there what it lacks.
func setAddr(link netlink.Link, a Addr) error {
	if a.Metric == 0 {
		return netlink.AddrReplace(link, a.netlink())
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	key := a.key()
	head := nl.NewIfAddrmsg(family(a.Prefix.Addr()))
	head.Index, head.Scope, head.Prefixlen = uint32(link.Attrs().Index), uint8(a.Scope), uint8(key.peer.Bits())
	req.AddData(head)
	for _, x := range []struct {
		attr  int
		value []byte
	}{
		{unix.IFA_LOCAL, key.local.Addr().AsSlice()},
		{unix.IFA_ADDRESS, key.peer.Addr().AsSlice()},
		{unix.IFA_BROADCAST, a.Broadcast.AsSlice()},
		{unix.IFA_LABEL, label(a.Label)},
		{unix.IFA_FLAGS, word(a.Flags & keptFlags)},
		{unix.IFA_CACHEINFO, a.lifetimes()},
		{ifaRTPriority, word(a.Metric)},
	} {
		if len(x.value) > 0 {
			req.AddData(nl.NewRtAttr(x.attr, x.value))
		}
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func word(v int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }

func label(text string) []byte {
	if text == "" {
		return nil
	}
	return nl.ZeroTerminated(text)
}

// lifetimes returns struct ifa_cacheinfo, or nothing for an address that stays.
func (a Addr) lifetimes() []byte {
	if a.Valid == 0 && a.Preferred == 0 {
		return nil
	}
	info := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: uint32(a.Valid), Prefered: uint32(a.Preferred)}}
	return info.Serialize()
}
