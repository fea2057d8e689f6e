package takeover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// What hangs on an interface itself, and would be lost with its move.

// queueing returns the qdiscs that somebody has put on a link. Those that the
// kernel chooses have handle 0.
func queueing(link netlink.Link) (names []string, err error) {
	all, err := netlink.QdiscList(link)
	if err != nil {
		return nil, err
	}
	for _, q := range all {
		if q.Attrs().Handle != 0 {
			names = append(names, fmt.Sprintf("%s %s", q.Type(), netlink.HandleStr(q.Attrs().Handle)))
		}
	}
	return names, nil
}

// Attributes of nexthop objects (linux/nexthop.h).
const (
	nhaID  = 1
	nhaOIF = 5
	nhmsg  = 8 // bytes of struct nhmsg
)

// nexthops returns the nexthop objects over an interface (ip nexthop), with
// which the kernel would delete their routes.
func nexthops(index int) (ids []string, err error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNEXTHOP, unix.NLM_F_DUMP)
	req.AddRawData(make([]byte, nhmsg))
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEXTHOP)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // before Linux 5.3
	}
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if len(m) < nhmsg {
			continue
		}
		values, err := attributes(m[nhmsg:])
		if err != nil {
			return nil, err
		}
		if oif := values[nhaOIF]; len(oif) == 4 && int(binary.NativeEndian.Uint32(oif)) == index {
			ids = append(ids, fmt.Sprint(binary.NativeEndian.Uint32(append(values[nhaID], 0, 0, 0, 0))))
		}
	}
	return ids, nil
}

// Of linux/netfilter/nf_tables.h.
const (
	nftMsgNewChain  = 3
	nftMsgGetChain  = 4
	nftaChainTable  = 1
	nftaChainName   = 3
	nftaChainHook   = 4
	nftaHookDev     = 3
	nftaHookDevs    = 4
	nftaDeviceName  = 1
	nfprotoNetdev   = 5
	nfgenmsgLen     = 4
	nftSubsystem    = unix.NFNL_SUBSYS_NFTABLES << 8
	attrTypeMask    = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
	netdevNotLoaded = unix.EINVAL
)

// netdevChains returns the chains of nftables' netdev family that hook into an
// interface.
func netdevChains(name string) (chains []string, err error) {
	req := nl.NewNetlinkRequest(nftSubsystem|nftMsgGetChain, unix.NLM_F_DUMP)
	req.AddRawData([]byte{nfprotoNetdev, unix.NFNETLINK_V0, 0, 0})
	messages, err := req.Execute(unix.NETLINK_NETFILTER, nftSubsystem|nftMsgNewChain)
	if errors.Is(err, netdevNotLoaded) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // a kernel without nftables, or nobody has used it yet
	}
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if len(m) < nfgenmsgLen {
			continue
		}
		chain, err := attributes(m[nfgenmsgLen:])
		if err != nil {
			return nil, err
		}
		devices, err := hookDevices(chain[nftaChainHook])
		if err != nil {
			return nil, err
		}
		if slices.Contains(devices, name) {
			chains = append(chains, "netdev "+cString(chain[nftaChainTable])+" "+cString(chain[nftaChainName]))
		}
	}
	return chains, nil
}

func hookDevices(hook []byte) (names []string, err error) {
	values, err := attributes(hook)
	if err != nil {
		return nil, err
	}
	if dev := values[nftaHookDev]; dev != nil {
		names = append(names, cString(dev))
	}
	all, err := nl.ParseRouteAttr(values[nftaHookDevs])
	for _, a := range all {
		if a.Attr.Type&attrTypeMask == nftaDeviceName {
			names = append(names, cString(a.Value))
		}
	}
	return names, err
}

// attributes returns the values of netlink attributes by their types.
func attributes(b []byte) (map[uint16][]byte, error) {
	all, err := nl.ParseRouteAttr(b)
	if err != nil {
		return nil, err
	}
	out := map[uint16][]byte{}
	for _, a := range all {
		out[a.Attr.Type&attrTypeMask] = a.Value
	}
	return out, nil
}

func cString(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return strings.TrimSpace(string(text))
}

// rulesOf returns the policy rules that name an interface. They go by name,
// and so hold for the TAP as soon as it has it.
func rulesOf(name string) (texts []string, err error) {
	all, err := netlink.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.IifName == name || r.OifName == name {
			texts = append(texts, r.String())
		}
	}
	return texts, nil
}
