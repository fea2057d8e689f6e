package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/nodes"
)

func TestDeviceInput(t *testing.T) {
	check(t, on(t, nodes.DeviceInput, newWorld(t, aNode).state), nil, []row{
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:10: 1.0.0.1 > 2.0.0.2: udp 1 > 2", reason: "ethernet"},
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = pod1 }, reason: "ip"},
	})
}

func TestTunInput(t *testing.T) {
	version := func(v byte) func([]byte) { return func(p []byte) { p[0] = v<<4 | p[0]&15 } }
	check(t, on(t, nodes.TunInput, newWorld(t, aNode).state), nil, []row{
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", reason: "ip4"},
		{packet: "2001:db8::1 > 2001:db8::2: udp 1 > 2", reason: "IPv6 not supported"},
		{packet: "hex 45", reason: "ip4"}, // ip4-input sees that it is cut off
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", meta: func(b *buf.Buffer) { b.SetLen(0) }, reason: "empty packet", out: "hex "},
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", change: version(0), reason: "unknown IP version"},
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", change: version(5), reason: "unknown IP version"},
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", change: version(15), reason: "unknown IP version"},
	})
}
