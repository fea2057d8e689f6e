package nodes_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
)

// A pairs is a device that receives packets to the ports 80 and 81, one after
// the other, from a source port for each pair.
type pairs struct {
	memQueue
	packet [2][]byte
	at     uint16
}

func (q *pairs) Rx(p *buf.Pool, into []*buf.Buffer) int {
	n := p.Get(into[:len(into)&^1]) &^ 1
	for i, b := range into[:n] {
		b.Set(q.packet[i&1])
		if i&1 == 0 {
			q.at = q.at%5000 + 1
		}
		sport := b.Bytes()[q.l4():]
		sport[0], sport[1] = byte(q.at>>8), byte(q.at)
	}
	return n
}

func (q *pairs) l4() int {
	if q.packet[0][0]>>4 == 6 {
		return hdr.IPv6Len
	}
	return hdr.IPv4Len
}

// A judged is a device that is sent the packets of pairs, and counts how many
// of each have come.
type judgedQueue struct {
	memQueue
	l4     int
	passed [2]atomic.Int64 // to port 80, to port 81
	last   uint16          // source port of the packet before
	broken atomic.Int64    // pairs of which both have passed
}

func (q *judgedQueue) Tx(p *buf.Pool, bufs []*buf.Buffer) int {
	for _, b := range bufs {
		u := b.Bytes()[q.l4:]
		if sport := uint16(u[0])<<8 | uint16(u[1]); sport == q.last {
			q.broken.Add(1)
		} else {
			q.last = sport
		}
		q.passed[u[3]-80].Add(1)
	}
	p.Put(bufs)
	return len(bufs)
}

// While a worker forwards, policy changes all the time between one that lets
// port 80 pass and stops 81 at the sender, and one that lets 81 pass and stops 80
// at the receiver. Who saw half of each would let both pass or none: each vector
// sees one or the other, new flows and old ones alike.
func TestPolicySwap(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWhole(t, aNode+aNode6+"policy pod1 egress allow udp to ports 80\npolicy pod2 ingress allow")
		one := w.world.state
		two := w.world.edit(t, "no policy pod1 egress\npolicy pod1 egress allow\nno policy pod2 ingress\npolicy pod2 ingress allow udp to ports 81")
		in := &pairs{packet: [2][]byte{f.line(t, "$a > $b: udp 1 > 80"), f.line(t, "$a > $b: udp 1 > 81")}}
		out := &judgedQueue{l4: in.l4()}
		for i, q := range map[uint32]drivers.Queue{pod1: in, pod2: out} {
			if err := w.RemovePort(i); err != nil {
				t.Fatal(err)
			}
			if err := w.AddPort(i, []drivers.Queue{q}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		gen := one.Policy.Gen
		for n := 0; n < 400 || out.passed[0].Load() < 1000 || out.passed[1].Load() < 1000; n++ {
			if n > 40_000 {
				t.Errorf("only %d and %d packets in so many changes", out.passed[0].Load(), out.passed[1].Load())
				break
			}
			next := one
			if n&1 == 0 {
				next = two
			}
			p := *next.Policy
			gen++
			p.Gen = gen
			next.Policy = &p
			graphtest.Publish(t, w.pub, next)
			time.Sleep(50 * time.Microsecond)
		}
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if n := out.broken.Load(); n != 0 {
			t.Errorf("%d pairs of which both packets passed", n)
		}
		// Each pair has lost one packet, no more.
		passed, dropped := uint64(out.passed[0].Load()+out.passed[1].Load()), w.policyDrops()
		if passed != dropped {
			t.Errorf("%d packets passed, %d were dropped, want as many", passed, dropped)
		}
	})
}

// A pod that opens flows as fast as it can, each with another port, does not keep
// another one from opening its own or from keeping them, even if the table is
// small.
func TestFlood(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		const capacity, own = 512, 100
		w := newWholeSessions(t, aNode+aNode6+`
			policy pod1 egress allow
			policy pod2 egress allow
			policy pod2 ingress
			policy pod1 quota 300 200`, table(t, capacity, false))
		for _, q := range w.queues[1:] {
			q.quiet = true
		}
		send := func(in uint32, s string) {
			p, err := receive(f.addrs.Replace(s), w.queues[in].ethernet)
			if err != nil {
				t.Fatal(err)
			}
			w.queues[in].rx = append(w.queues[in].rx, p)
		}
		toPod := "02:00:00:00:00:01 > 02:00:00:00:00:10: "
		for n := range own {
			for i := range 200 {
				at := n*200 + i
				send(pod1, fmt.Sprintf("$a > $x: %s %d > %d", []string{"udp", "tcp"}[i&1], 1+at%60000, 1+at/60000)+[]string{"", " flags S"}[i&1])
			}
			send(pod2, fmt.Sprintf("$b > $x: udp %d > 53", 1000+n))
			w.advance(t, 1000)
			before := w.queues[pod2].count
			for i := range n + 1 {
				send(eth0, toPod+fmt.Sprintf("$x > $b: udp 53 > %d", 1000+i))
			}
			w.advance(t, 1000)
			if got := w.queues[pod2].count - before; got != n+1 {
				t.Fatalf("%d answers to %d flows of pod2 came through; %q", got, n+1, w.newDrops())
			}
		}
		if got := w.Flows.Owner(pod1); got.Sessions > 300 || got.Refused+got.Evicted == 0 {
			t.Errorf("the flood has %+v", got)
		}
	})
}
