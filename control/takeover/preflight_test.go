package takeover

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// ether returns the attributes of an ordinary Ethernet interface.
func ether(change func(*netlink.LinkAttrs)) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.Index, a.EncapType, a.Flags = "enp0s3", 7, "ether", net.FlagUp
	if change != nil {
		change(&a)
	}
	return a
}

// What can't be taken over whatever is configured on it, also of kinds that
// not every kernel can make.
func TestAcceptable(t *testing.T) {
	const nobody = 1 << 30 // an index that no interface has
	as := func(change func(*netlink.LinkAttrs)) netlink.Link { return &netlink.Device{LinkAttrs: ether(change)} }
	for name, test := range map[string]struct {
		link netlink.Link
		want string
	}{
		"a NIC":          {as(nil), ""},
		"a veth":         {&netlink.Veth{LinkAttrs: ether(nil)}, ""},
		"a VLAN":         {&netlink.Vlan{LinkAttrs: ether(nil), VlanId: 5}, ""},
		"a bond":         {&netlink.Bond{LinkAttrs: ether(nil)}, "is a bond"},
		"a bridge":       {&netlink.Bridge{LinkAttrs: ether(nil)}, "is a bridge"},
		"a team":         {&netlink.GenericLink{LinkAttrs: ether(nil), LinkType: "team"}, "is a team"},
		"a VRF":          {&netlink.Vrf{LinkAttrs: ether(nil)}, "is a vrf"},
		"a slave":        {as(func(a *netlink.LinkAttrs) { a.MasterIndex = nobody }), "belongs to a bridge or a bond"},
		"the loopback":   {as(func(a *netlink.LinkAttrs) { a.Flags |= net.FlagLoopback }), "is the loopback"},
		"a tunnel":       {&netlink.Iptun{LinkAttrs: ether(func(a *netlink.LinkAttrs) { a.EncapType = "ipip" })}, "not an Ethernet interface but ipip"},
		"InfiniBand":     {as(func(a *netlink.LinkAttrs) { a.EncapType = "infiniband" }), "but infiniband"},
		"a TAP":          {&netlink.Tuntap{LinkAttrs: ether(nil)}, "itself a TUN or TAP"},
		"another's TAP":  {&netlink.Tuntap{LinkAttrs: ether(func(a *netlink.LinkAttrs) { a.Alias = tapAlias("enp0s3") })}, "another skeind has it"},
		"with a program": {as(func(a *netlink.LinkAttrs) { a.Xdp = &netlink.LinkXdp{Attached: true} }), "has an XDP program"},
	} {
		err := acceptable(test.link)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// What is on top of an interface would lose it: VLANs, macvlans and the like,
// but not the other end of a veth's cable, nor a VLAN of another.
func TestCarried(t *testing.T) {
	on := func(index int) netlink.LinkAttrs { return ether(func(a *netlink.LinkAttrs) { a.ParentIndex = index }) }
	all := []netlink.Link{&netlink.Device{LinkAttrs: ether(nil)}, &netlink.Veth{LinkAttrs: on(7)}, &netlink.Vlan{LinkAttrs: on(8)},
		&netlink.Vlan{LinkAttrs: on(7)}, &netlink.Macvlan{LinkAttrs: on(7)}, &netlink.IPVlan{LinkAttrs: on(7)}, &netlink.Vxlan{LinkAttrs: on(7)}}
	var got []string
	for _, l := range carried(7, all) {
		got = append(got, l.Type())
	}
	if want := []string{"vlan", "macvlan", "ipvlan", "vxlan"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The kernel's lists of groups, as it prints them.
func TestGroups(t *testing.T) {
	const mcast = `2    eth0            1     0     01005e000001
2    eth0            1     1     01005e0000fb
2    eth0            2     0     333300000001
3    eth1            1     1     01005e0000fc
`
	if got := staticGroups(mcast, "eth0"); !slices.Equal(got, []string{"01005e0000fb"}) {
		t.Errorf("static: %v", got)
	}
	const igmp6 = `1    lo              ff020000000000000000000000000001     1 0000000C 0
2    eth0            ff0200000000000000000001ff00feed     1 00000004 0
2    eth0            ff020000000000000000000000000001     1 0000000C 0
2    eth0            ff0200000000000000000000000000fb     1 0000000C 0
3    eth1            ff0200000000000000000000000000fc     1 0000000C 0
`
	if got := joined6(igmp6, "eth0"); !slices.Equal(got, []string{"ff02::fb"}) {
		t.Errorf("IPv6: %v", got)
	}
	if got := slices.Concat(staticGroups("x y", "eth0"), joined4("\n\t\nIdx\tDevice\n", "eth0"), joined6("\n2 eth0 zz\n", "eth0")); len(got) > 0 {
		t.Errorf("of nonsense: %v", got)
	}
}
