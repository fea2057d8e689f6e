package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

// All that may ask for a flow's hash get the same one: before the lookup, where
// the packet leaves, and of its session; and it stays when it is translated.
func TestOneHash(t *testing.T) {
	rig := on(t, nodes.IP4Input, newWorld(t, both).state)
	for _, s := range []string{
		"10.0.0.1 > 10.0.0.2: tcp 1000 > 80",
		"10.0.0.1 > 10.0.0.2: udp 1000 > 80",
		"10.0.0.1 > 10.0.0.2: icmp echo-request id 7",
		"10.0.0.1 > 10.0.0.2: proto 132 len 40",
		"10.0.0.1 > 10.0.0.2: proto 47 len 2",
		"2001:db8::1 > fd00::2: tcp 1000 > 80",
		"2001:db8::1 > fd00::2: udp 1000 > 80",
		"2001:db8::1 > fd00::2: icmp6 echo-request id 7",
		"2001:db8::1 > fd00::2: proto 59 len 0",
	} {
		b := rig.Load(t, line(t, s))[0]
		got := map[string]uint32{}
		if b.IPv4().Version() == 4 {
			var p session.Packet4
			sound(b)
			session.Parse4(b.Bytes(), 0, &p)
			got["before"], got["of its session"] = nodes.Hash4(b), nodes.HashKey4(p.Key)
			got["leaving"] = nodes.HashOut(b)
			b.Hash = 0
			nodes.Translate4(b, p.Key.Swap().WithPorts(7, 8))
		} else {
			var p session.Packet6
			sound6(b)
			session.Parse6(b.Bytes(), 0, &p)
			got["before"], got["of its session"] = nodes.Hash6(b), nodes.HashKey6(&p.Key)
			got["leaving"] = nodes.HashOut(b)
			b.Hash = 0
			nodes.Translate6(b, session.MakeKey6(p.Key.Src(), p.Key.Src(), 7, 8, p.Key.Proto(), 0))
		}
		got["translated"] = b.Hash
		for who, h := range got {
			if h != got["before"] || h == 0 {
				t.Errorf("%s: %s %#x, before %#x", s, who, h, got["before"])
			}
		}
		rig.Pool.Put([]*buf.Buffer{b})
	}
}
