package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/session"
)

// From a link nobody sends from the node's own addresses. What a session has
// decided about already is none of its business.
func TestSessionOwn(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWorld(t, aNode+aNode6+"policy")
		rig := on(t, f.session, w.state)
		known := f.insert(t, rig.Flows.Table, f.line(t, "$h > $a: udp 1 > 53"), f.line(t, "$a > $h: udp 53 > 1"))
		s := rig.Flows.At(known.Index())
		s.Gen, s.Verdict = w.state.Policy.Gen, session.Allow
		const own, next = "ipX source is the node's own, from a link", "end of ipX-unicast"
		prepare := func(b *buf.Buffer) { f.sound(b); b.Feat = 1 << 63 }
		check(t, rig, prepare, f.rows([]row{
			{packet: "$h > $a: udp 2 > 53", meta: from(eth0), reason: own},
			{packet: "$n > $a: udp 2 > 53", meta: from(eth0), reason: own},
			{packet: "$h > $a: udp 2 > 53", meta: from(eth1), reason: own},
			{packet: "$h > $a: icmpX echo-request id 1 seq 1", meta: from(eth0), reason: own},
			{packet: "$x > $a: udp 2 > 53", meta: from(eth0), reason: next},
			{packet: "$h > $a: udp 2 > 53", meta: from(tap0), reason: next},
			{packet: "$h > $a: udp 1 > 53", meta: from(eth0), reason: "forward"},
		}))
	})
}
