package nodes_test

import (
	"net/netip"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func TestDenyList(t *testing.T) {
	const ok, denied = "end of device-input", "source is on the deny list"
	const ether = "02:00:00:00:00:01 > 02:00:00:00:00:10: "
	st := newWorld(t, aNode).state
	var err error
	if st.Deny, err = state.NewDeny(prefixes("203.0.113.0/24", "198.51.100.7/32", "2001:db8:bad::/48")); err != nil {
		t.Fatal(err)
	}
	pod := func(b *buf.Buffer) { b.RxIf = pod1 }
	check(t, on(t, nodes.DenyList, st), func(b *buf.Buffer) { b.RxIf, b.Feat = eth0, 1<<63 }, []row{
		{packet: ether + "203.0.113.9 > 192.0.2.10: tcp 1 > 22 flags S", reason: denied},
		{packet: ether + "203.0.114.9 > 192.0.2.10: tcp 1 > 22 flags S", reason: ok},
		{packet: ether + "192.0.2.10 > 203.0.113.9: tcp 22 > 1 flags S", reason: ok}, // a destination
		{packet: ether + "198.51.100.7 > 192.0.2.10: udp 1 > 2", reason: denied},
		{packet: ether + "198.51.100.8 > 192.0.2.10: udp 1 > 2", reason: ok},
		{packet: ether + "2001:db8:bad::1 > 2001:db8::10: udp 1 > 2", reason: denied},
		{packet: ether + "2001:db8:bae::1 > 2001:db8::10: udp 1 > 2", reason: ok},
		{packet: ether + "arp who-has 192.0.2.10 tell 203.0.113.9", reason: ok},                  // arp-input judges it
		{packet: "hex 02000000001002000000000108004500002400000000401100000acb7109", reason: ok}, // cut off in the source
		{packet: "hex 020000000010020000", reason: ok},
		{packet: "203.0.113.9 > 10.1.0.8: udp 1 > 2", meta: pod, reason: denied},
		{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2", meta: pod, reason: ok},
		{packet: "2001:db8:bad::9 > 2001:db8::10: udp 1 > 2", meta: pod, reason: denied},
		{packet: "hex 45", meta: pod, reason: ok},
		{packet: "hex 60", meta: pod, reason: ok},
	})
}

// Without a list nothing is denied.
func TestNoDenyList(t *testing.T) {
	check(t, on(t, nodes.DenyList, newWorld(t, aNode).state), func(b *buf.Buffer) { b.RxIf, b.Feat = pod1, 1<<63 }, []row{
		{packet: "203.0.113.9 > 10.1.0.8: udp 1 > 2", reason: "end of device-input"},
	})
}

// Where everything is denied, neighbour discovery from link-local addresses
// goes on, as in the XDP program.
func TestDenyEverything(t *testing.T) {
	const ok, denied = "end of device-input", "source is on the deny list"
	st := newWorld(t, aNode).state
	var err error
	if st.Deny, err = state.NewDeny(prefixes("0.0.0.0/0", "::/0")); err != nil {
		t.Fatal(err)
	}
	check(t, on(t, nodes.DenyList, st), func(b *buf.Buffer) { b.RxIf, b.Feat = pod1, 1<<63 }, []row{
		{packet: "203.0.113.9 > 10.1.0.8: udp 1 > 2", reason: denied},
		{packet: "fec0::1 > 2001:db8::10: udp 1 > 2", reason: denied},
		{packet: "fe80::1 > 2001:db8::10: udp 1 > 2", reason: ok},
		{packet: "febf::1 > 2001:db8::10: udp 1 > 2", reason: ok},
	})
}
