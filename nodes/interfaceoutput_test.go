package nodes_test

import (
	"bytes"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
)

func tx(i uint32) func(*buf.Buffer) { return func(b *buf.Buffer) { b.TxIf = i } }

// Both nodes do the same.
func TestInterfaceOutput(t *testing.T) {
	const (
		ip    = "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 20"
		frame = "02:00:00:00:00:01 > 02:00:00:00:00:10: 8.8.8.8 > 192.0.2.10: udp 1 > 2 len "

		tagged = "02:00:00:00:00:01 > 02:00:00:00:00:10: vlan 5 8.8.8.8 > 192.0.2.10: udp 1 > 2 len "
	)
	bridged := func(to uint32) func(*buf.Buffer) {
		return func(b *buf.Buffer) { b.TxIf, b.Flags = to, b.Flags|buf.Bridged }
	}
	gso := func(to uint32, typ buf.GSOType) func(*buf.Buffer) {
		return func(b *buf.Buffer) { b.TxIf, b.GSOType, b.GSOSize = to, typ, 1000 }
	}
	nonsense := func(b *buf.Buffer) { b.TxIf, b.CsumStart, b.Flags = pod2, 3000, b.Flags|buf.CsumPartial }
	rows := []row{
		{packet: frame + "20", meta: tx(eth0), reason: "to uplink"},
		{packet: frame + "20", meta: tx(tap0), reason: "to tap"},
		{packet: ip, meta: tx(pod2), reason: "to tun"},
		{packet: frame + "20", meta: tx(eth1), reason: "interface is down"},
		{packet: frame + "20", meta: tx(6), reason: "interface is down"}, // gone
		{packet: ip, meta: tx(0), reason: "interface is down"},

		// A bridged frame has nobody to be told that it is too long.
		{packet: frame + "1472", meta: bridged(tap0), reason: "to tap"},
		{packet: frame + "1473", meta: bridged(tap0), reason: "bridged frame exceeds the MTU"},
		{packet: frame + "1473", meta: tx(tap0), reason: "to tap"},
		{packet: tagged + "1472", meta: bridged(tap0), reason: "to tap"}, // tags do not count
		{packet: tagged + "1473", meta: bridged(tap0), reason: "bridged frame exceeds the MTU"},

		// Superpackets: pod1 takes all, pod2 and eth0 none.
		{packet: "10.1.0.7 > 10.1.0.8: tcp 1 > 2 len 3000", meta: gso(pod1, buf.GSOTCPv4), reason: "to tun"},
		{packet: "10.1.0.7 > 10.1.0.8: tcp 1 > 2 len 3000", meta: gso(pod1, buf.GSOTCPv4|buf.GSOECN), reason: "to tun"},
		{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 3000", meta: gso(pod1, buf.GSOUDP), reason: "to tun"},
		{packet: "10.1.0.7 > 10.1.0.8: tcp 1 > 2 len 3000", meta: gso(pod2, buf.GSOTCPv4), reason: "segment"},
		{packet: "10.1.0.7 > 10.1.0.8: tcp 1 > 2 len 3000", meta: gso(pod2, buf.GSOTCPv6), reason: "segment"},
		{packet: "10.1.0.7 > 10.1.0.8: tcp 1 > 2 len 3000", meta: gso(pod1, 2), reason: "segment"}, // which refuses it
		{packet: frame + "3000", meta: gso(eth0, buf.GSOUDP), reason: "segment"},
		{packet: ip, meta: nonsense, reason: "checksum offload does not fit the packet"},
	}
	for _, spec := range []graph.Spec{nodes.InterfaceOutput, nodes.InterfaceTx} {
		w := newWorld(t, aNode+`
			interface pod1 tun offload all
			interface eth1 uplink mac 02:00:00:00:00:11 down
			interface pod9 tun`)
		w.state.Ifaces[6] = iface.Iface{}
		check(t, on(t, spec, w.state), nil, rows)
	}
}

// The checksum is computed for a device that cannot, and left to one that can.
func TestInterfaceOutputChecksum(t *testing.T) {
	w := newWorld(t, aNode+"interface pod1 tun offload csum")
	rig := on(t, nodes.InterfaceOutput, w.state)
	for _, s := range []string{"10.1.0.7 > 10.1.0.8: udp 1 > 2 len 33", "10.1.0.7 > 10.1.0.8: tcp 1 > 2 len 1000", "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 0"} {
		p := line(t, s)
		bufs := rig.Load(t, p, p)
		for i, b := range bufs {
			sound(b)
			partial(b)
			b.TxIf = []uint32{pod1, pod2}[i]
		}
		got := rig.RunBufs(t, bufs...)
		if got[0].Flags&buf.CsumPartial == 0 || bytes.Equal(got[0].Bytes(), p) {
			t.Errorf("%s: the checksum was not left to the device", s)
		}
		if got[1].Flags&buf.CsumPartial != 0 || !bytes.Equal(got[1].Bytes(), p) {
			t.Errorf("%s\nleft as % x\nwant    % x", s, got[1].Bytes(), p)
		}
		rig.Put(got)
	}
}

// A device may finish checksums of TCP only.
func TestInterfaceOutputChecksumTCP(t *testing.T) {
	w := newWorld(t, aNode+"interface pod1 tun offload tcpcsum")
	rig := on(t, nodes.InterfaceOutput, w.state)
	for _, x := range []struct {
		line   string
		l4, at uint16
		left   bool
	}{
		{"10.1.0.7 > 10.1.0.8: tcp 1 > 2 len 1000", 20, 16, true},
		{"fd00::7 > fd00::8: tcp 1 > 2 len 10", 40, 16, true},
		{"10.1.0.7 > 10.1.0.8: udp 1 > 2 len 33", 20, 6, false},
		{"fd00::7 > fd00::8: udp 1 > 2 len 33", 40, 6, false},
	} {
		b := rig.Load(t, line(t, x.line))[0]
		b.TxIf, b.Flags = pod1, b.Flags|buf.CsumPartial
		b.CsumStart, b.CsumOffset = uint16(b.Off())+x.l4, x.at
		got := rig.RunBufs(t, b)
		if left := got[0].Flags&buf.CsumPartial != 0; left != x.left {
			t.Errorf("%s: left to the device: %v, want %v", x.line, left, x.left)
		}
		rig.Put(got)
	}
}

// A UDP checksum that comes out as zero is sent as all ones (RFC 768).
func TestChecksumZero(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.InterfaceOutput, w.state)
	p := line(t, "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 2")
	// The checksum in the payload makes all sum up to 0xffff.
	c := (*hdr.UDP)(p[20:]).Checksum()
	rest := hdr.Fold(uint64(c) + uint64(p[28])<<8 + uint64(p[29]))
	p[28], p[29] = byte(rest>>8), byte(rest)
	b := rig.Load(t, p)[0]
	sound(b)
	partial(b)
	b.TxIf = pod2
	got := rig.RunBufs(t, b)
	if c := b.UDP().Checksum(); c != 0xffff {
		t.Errorf("checksum %#x, want 0xffff", c)
	}
	rig.Put(got)
}

// A feature on the sending interface comes first, whatever the packet.
func TestInterfaceOutputFeature(t *testing.T) {
	arc := *nodes.InterfaceOutputArc
	arc.Features = []string{"counting"}
	spec := nodes.InterfaceOutput
	spec.On = &arc
	w := newWorld(t, aNode)
	w.state.Ifaces[pod1].Feat[arc.ID] |= 1
	check(t, on(t, spec, w.state), nil, []row{
		{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2", meta: tx(pod1), reason: "feature counting"},
		{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2", meta: tx(pod2), reason: "to tun"},
	})
}

func TestOutput(t *testing.T) {
	for _, spec := range []graph.Spec{nodes.UplinkOutput, nodes.TapOutput, nodes.TunOutput} {
		w := newWorld(t, aNode)
		rig := on(t, spec, w.state)
		if err := rig.RemovePort(pod2); err != nil {
			t.Fatal(err)
		}
		const ip = "10.1.0.7 > 10.1.0.8: udp 1 > 2"
		check(t, rig, nil, []row{
			{packet: ip, meta: tx(eth0), reason: "sent"},
			{packet: ip, meta: tx(eth0), reason: "sent"},
			{packet: ip, meta: tx(pod2), reason: "interface has no device"},
			{packet: ip, meta: tx(pod2), reason: "interface has no device"},
			{packet: ip, meta: tx(pod1), reason: "sent"},
			{packet: ip, meta: tx(eth0), reason: "sent"},
			{packet: ip, meta: tx(0), reason: "interface has no device"},
			{packet: ip, meta: tx(1 << 31), reason: "interface has no device"},
		})
	}
}
