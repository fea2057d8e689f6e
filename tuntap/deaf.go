package tuntap

import (
	"encoding/binary"
	"errors"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// dropAll is a program of classic BPF that drops whatever it sees: "return
// TC_ACT_SHOT" (linux/filter.h, linux/pkt_cls.h), as struct sock_filter.
var dropAll = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(netlink.TC_ACT_SHOT)}

// deafen has the kernel drop all that comes in by the interface, behind packet
// sockets of all protocols (ETH_P_ALL): at the ingress of clsact, which it makes. Doing so again is no error.
// The calling thread is in the interface's namespace. Of the kernel's
// classifiers it takes the one that Cilium needs too, so that nodes have it.
func (l *Link) deafen() error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	err := l.nl.QdiscAdd(qdisc)
	if err == nil || errors.Is(err, unix.EEXIST) {
		_, err = deafFilter(l.index).Execute(unix.NETLINK_ROUTE, 0)
	}
	switch {
	case errors.Is(err, unix.EEXIST):
		return nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return &MissingError{"needs the kernel's sch_ingress and cls_bpf", err}
	}
	return err
}

// deafFilter asks for "tc filter add dev … ingress prio 1 handle 1 bpf
// direct-action bytecode '1,6 0 0 2'", for which the library has no words.
func deafFilter(index int) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	r.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Handle: 1, Parent: netlink.HANDLE_MIN_INGRESS,
		Info: netlink.MakeHandle(1, nl.Swap16(unix.ETH_P_ALL))})
	r.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("bpf")))
	ops := binary.NativeEndian.AppendUint16(nil, dropAll.Code)
	ops = binary.NativeEndian.AppendUint32(append(ops, dropAll.Jt, dropAll.Jf), dropAll.K)
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_BPF_OPS_LEN, nl.Uint16Attr(1))
	options.AddRtAttr(nl.TCA_BPF_OPS, ops)
	options.AddRtAttr(nl.TCA_BPF_FLAGS, nl.Uint32Attr(nl.TCA_BPF_FLAG_ACT_DIRECT))
	r.AddData(options)
	return r
}
