package tuntap

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/internal/lab"
)

// The kernel spreads flows over queues, and one flow stays on one queue: first
// that of its hash, then the one that was last written to.
func TestMultiQueue(t *testing.T) {
	for _, queues := range []int{1, 2, 4} {
		for _, offload := range []bool{true, false} {
			t.Run(fmt.Sprintf("queues=%d offload=%v", queues, offload), func(t *testing.T) { testMultiQueue(t, queues, offload) })
		}
	}
}

func testMultiQueue(t *testing.T, queues int, offload bool) {
	b := newBench(t)
	n := b.space("pod")
	d := b.create(n, Config{Name: "tun0", Queues: queues, Offload: offload, NoQueue: true})
	b.pod(d, "10.0.0.1")
	const flows, packets = 64, 3
	conns := make([]*net.UDPConn, flows)
	say := func() {
		t.Helper()
		for i := range conns {
			if conns[i] == nil {
				var err error
				conns[i], err = n.DialUDP(port("192.0.2.1", 7))
				lab.Need(t, err)
				t.Cleanup(func() { _ = conns[i].Close() })
			}
			for range packets {
				_, err := conns[i].Write([]byte("x"))
				lab.Need(t, err)
			}
		}
	}
	say()
	first := b.spread(d, flows*packets)
	// Answers move each flow to the next queue.
	one := make([]*buf.Buffer, 1)
	for p, i := range first {
		b.pool.Get(one)
		one[0].Set(finish(udp4("10.0.0.1", p, []byte("answer"))))
		if sent := d.queues[(i+1)%queues].Tx(b.pool, one); sent != 1 {
			t.Fatalf("queue %d does not take an answer", (i+1)%queues)
		}
	}
	say()
	for p, i := range b.spread(d, flows*packets) {
		if want := (first[p] + 1) % queues; i != want {
			t.Errorf("flow %d comes by queue %d, its answer went by %d", p, i, want)
		}
	}
}

// spread reads total packets, and returns by which queue each flow came, by its
// source port. None may come by two, and each queue has some.
func (t *bench) spread(d *Device, total int) map[uint16]int {
	t.Helper()
	queueOf, got := map[uint16]int{}, 0
	for i, q := range d.queues {
		into := make([]*buf.Buffer, total)
		n := q.Rx(t.pool, into)
		for _, p := range into[:n] {
			src := uint16(p.Bytes()[20])<<8 | uint16(p.Bytes()[21])
			if at, seen := queueOf[src]; seen && at != i {
				t.Errorf("flow %d is on queues %d and %d", src, at, i)
			}
			queueOf[src] = i
		}
		if n == 0 {
			t.Errorf("queue %d has nothing", i)
		}
		got += n
		t.pool.Put(into[:n])
	}
	if got != total {
		t.Errorf("%d packets of %d", got, total)
	}
	return queueOf
}

// After a restart there may be more queues than before, or fewer.
func TestAttachOtherQueues(t *testing.T) {
	for _, c := range []struct{ made, asked, want int }{{1, 1, 1}, {1, 4, 1}, {2, 4, 4}, {4, 2, 2}, {4, 1, 1}} {
		t.Run(fmt.Sprintf("%d then %d", c.made, c.asked), func(t *testing.T) {
			b := newBench(t)
			n := b.space("pod")
			cfg := Config{Name: "tun0", NetNS: n.Path(), Queues: c.made, Offload: true, Persist: true, NoQueue: true}
			d, err := Create(cfg)
			lab.Need(t, err)
			b.pod(d, "10.0.0.1")
			fds, err := d.Dup()
			lab.Need(t, err)
			b.close(d)
			if cfg.Queues = c.asked; c.made > c.asked { // what is handed on is kept
				c.want = c.made
			}
			d, err = Adopt(cfg, fds)
			lab.Need(t, err)
			b.serves(d, n, c.want)
			b.close(d)
			d, err = Attach(cfg)
			lab.Need(t, err)
			b.serves(d, n, min(c.want, c.asked))
			if few := strings.Contains(d.Info().Detail, "until it is made anew"); few != (c.want < c.asked) {
				t.Errorf("%d queues of %d: %q", c.want, c.asked, d.Info().Detail)
			}
			b.close(d)
			lab.Need(t, d.Delete())
			if _, err := Attach(cfg); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after Delete: %v", err)
			}
		})
	}
}

// serves checks how many queues a device has, that packets come by all of them
// in either direction, and that none waits in a queueing discipline.
func (t *bench) serves(d *Device, n *lab.Namespace, want int) {
	t.Helper()
	if got := len(d.Queues()); got != want {
		t.Fatalf("%d queues, want %d: %s", got, want, d.Info().Detail)
	}
	const flows = 64
	for range flows {
		conn, err := n.DialUDP(port("192.0.2.1", 7))
		lab.Need(t, err)
		_, err = conn.Write([]byte("x"))
		lab.Need(t, err)
		lab.Need(t, conn.Close())
	}
	t.spread(d, flows)
	qdiscs, err := n.Netlink().QdiscList(nil)
	lab.Need(t, err)
	var types []string
	for _, q := range qdiscs {
		if q.Attrs().LinkIndex == d.Index() {
			types = append(types, q.Type())
		}
	}
	if !slices.Equal(types, []string{"noqueue"}) {
		t.Errorf("queueing disciplines: %v", types)
	}
}
