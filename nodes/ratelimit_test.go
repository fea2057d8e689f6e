package nodes_test

import (
	"fmt"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
)

// What passes in the long run is the rate, and at once the burst, in both
// directions and for both families.
func TestRateLimit(t *testing.T) {
	const step = 1e6                                                                                   // ns between packets
	udp4, udp6 := "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 972", "fd00:1::7 > fd00:1::8: udp 1 > 2 len 952" // 1000 bytes
	tests := []struct {
		limit  iface.Limit
		packet string
		gso    uint16 // bytes of payload per segment; 0: no superpacket
		first  int    // packets of 10,000 that pass at once
		passed int    // of 10,000 in ten seconds
	}{
		{iface.Bandwidth(4e6, 80_000), udp4, 0, 10, 5009},
		{iface.Bandwidth(4e6, 80_000), udp6, 0, 10, 5009},
		{iface.Bandwidth(1e6, 1), udp4, 0, 1, 1250},
		{iface.Bandwidth(0, 1), udp4, 0, 10000, 10000},
		{iface.PacketRate(100, 30), udp4, 0, 30, 1029},
		{iface.PacketRate(100, 30), udp4, 98, 3, 102}, // ten packets each, and the last one owes
		{iface.Limit{}, udp4, 0, 10000, 10000},
	}
	for _, test := range tests {
		for _, out := range []bool{false, true} {
			t.Run(fmt.Sprintf("%+v gso %d out %v", test.limit, test.gso, out), func(t *testing.T) {
				st := newWorld(t, aNode).state
				spec := nodes.RateLimitIn
				if st.Ifaces[pod1].RxLimit = test.limit; out {
					spec, st.Ifaces[pod1].RxLimit, st.Ifaces[pod1].TxLimit = nodes.RateLimitOut, iface.Limit{}, test.limit
				}
				rig := on(t, spec, st)
				p := line(t, test.packet)
				prepare := func(b *buf.Buffer) {
					b.RxIf, b.TxIf, b.Feat = pod1, pod1, 1<<63
					if test.gso != 0 {
						b.GSOType, b.GSOSize, b.HdrEnd = buf.GSOUDP, test.gso, uint16(b.Off())+28
					}
				}
				if got := offer(t, rig, p, prepare, 10000, 0); got != test.first {
					t.Errorf("%d packets passed at once, want %d", got, test.first)
				}
				rig.Advance(3600e9)
				if got := offer(t, rig, p, prepare, 10000, step); got < test.passed-1 || got > test.passed+1 {
					t.Errorf("%d packets passed in ten seconds, want %d", got, test.passed)
				}
				rig.NoAllocs(t, prepare, p)
			})
		}
	}
}

// offer sends n packets, a step apart, and returns how many pass.
func offer(t *testing.T, rig *graphtest.Rig, packet []byte, prepare func(*buf.Buffer), n int, step int64) (passed int) {
	t.Helper()
	for n > 0 {
		many := 1
		if step == 0 {
			many = min(n, graph.MaxVector)
		}
		bufs := make([]*buf.Buffer, 0, many)
		for range many {
			bufs = append(bufs, rig.Load(t, packet)...)
			prepare(bufs[len(bufs)-1])
		}
		results := rig.RunBufs(t, bufs...)
		for _, r := range results {
			if r.Reason != "receive rate limit exceeded" && r.Reason != "transmit rate limit exceeded" {
				passed++
			}
		}
		rig.Put(results)
		rig.Advance(step)
		n -= many
	}
	return passed
}

// One pod's flood does not touch another's rate.
func TestRateLimitApart(t *testing.T) {
	st := newWorld(t, aNode).state
	st.Ifaces[pod1].RxLimit, st.Ifaces[pod2].RxLimit = iface.PacketRate(10, 5), iface.PacketRate(10, 5)
	rig := on(t, nodes.RateLimitIn, st)
	p := line(t, "10.1.0.7 > 10.1.0.8: udp 1 > 2")
	from := func(i uint32) func(*buf.Buffer) {
		return func(b *buf.Buffer) { b.RxIf, b.Feat = i, 1<<63 }
	}
	if got := offer(t, rig, p, from(pod1), 1000, 0); got != 5 {
		t.Errorf("pod1: %d packets passed, want 5", got)
	}
	if got := offer(t, rig, p, from(pod2), 3, 0); got != 3 {
		t.Errorf("pod2: %d packets passed, want 3", got)
	}
}
