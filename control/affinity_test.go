package control

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

const sticky = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIPs: [10.96.0.1, '2001:db8:96::1']
  ipFamilies: [IPv4, IPv6]
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 100}}
  ports: [{name: t, protocol: TCP, port: 80}]
`

// A young process has services, and workers that run; before is what stands
// before the service that all of them have, so that its number is another.
func young(t *testing.T, dir string, workers int, before string) *Control {
	t.Helper()
	c := sharded(t, dir, workers, 4000)
	file := filepath.Join(dir, "services.yaml")
	if err := os.WriteFile(file, []byte(before+sticky), 0o600); err != nil {
		t.Fatal(err)
	}
	c.cfg.Services = configs.Services{Files: []string{file}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.workers.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		leave(t, c, c.tables)
	})
	if err := c.loadNAT(ctx); err != nil {
		t.Fatal(err)
	}
	c.recallAffinity(ctx)
	return c
}

// clientsOf returns who a worker knows, as "10.0.0.1 at 10.0.0.2:80".
func clientsOf(t *testing.T, c *Control, worker int) (out []string) {
	t.Helper()
	err := c.do(t.Context(), c.workers.All()[worker], func() error {
		for _, v6 := range []bool{false, true} {
			affinityOf(c.workers.All()[worker], v6).All(session.Now(), func(_ uint32, e nat.AffinityEntry) bool {
				if e.Left < 10 || e.Left > 100 { // of 100 at most, and no test takes longer
					t.Errorf("%d seconds are left", e.Left)
				}
				out = append(out, fmt.Sprintf("%v at %v:%d", e.Client.Addr().Unmap(), e.Backend.Addr().Unmap(), e.Port))
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func v6(lo uint64) hdr.Addr6 { return hdr.Addr6{Hi: 0x20010db8 << 32, Lo: lo} }

// All workers know what any of the predecessor's has known, of services that have
// another number now, and where two have differed what was known last.
func TestAffinityGoesOn(t *testing.T) {
	dir := t.TempDir()
	t.Run("predecessor", func(t *testing.T) {
		c := young(t, dir, 2, "")
		id := c.services().Find(&nat.FrontKey{Addr: nat.Addr4(10<<24 | 96<<16 | 1), Port: 80, Proto: hdr.ProtoTCP}).Service.ID
		id6 := c.services().Find(&nat.FrontKey{Addr: hdr.Addr6{Hi: 0x20010db8<<32 | 0x0096<<16, Lo: 1}, Port: 80, Proto: hdr.ProtoTCP}).Service.ID
		tell := func(worker int, id uint32, client, backend hdr.Addr6, left uint32) {
			w := c.workers.All()[worker]
			err := c.do(t.Context(), w, func() error {
				affinityOf(w, !client.IsMapped4()).Remember(id, nat.AffinityEntry{Client: client, Backend: backend, Port: 8080, Left: left}, session.Now())
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		tell(0, id, nat.Addr4(1), nat.Addr4(11), 90)
		tell(1, id, nat.Addr4(1), nat.Addr4(12), 80) // what the other knows is younger
		tell(1, id, nat.Addr4(2), nat.Addr4(12), 1e6)
		tell(1, id, nat.Addr4(3), nat.Addr4(12), 0)
		tell(0, id+1000, nat.Addr4(4), nat.Addr4(12), 90) // of no service
		tell(1, id6, v6(1), v6(11), 90)
		if err := c.doAll(t.Context(), func(*graph.Worker) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := c.leaveAffinity(); err != nil {
			t.Fatal(err)
		}
	})
	other := `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: default}
spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}
---
`
	t.Run("successor", func(t *testing.T) {
		c := young(t, dir, 3, other)
		want := []string{"0.0.0.1 at 0.0.0.11:8080", "0.0.0.2 at 0.0.0.12:8080", "2001:db8::1 at 2001:db8::b:8080"}
		for worker := range 3 {
			if got := clientsOf(t, c, worker); !slices.Equal(got, want) {
				t.Errorf("worker %d: %v, want %v", worker, got, want)
			}
		}
	})
	t.Run("after a kill", func(t *testing.T) { // nobody has left anything
		if got := clientsOf(t, young(t, dir, 1, other), 0); got != nil {
			t.Errorf("%v", got)
		}
	})
}

// Sessions tell who has which backend where nobody could write it down.
func TestAffinityOfSessions(t *testing.T) {
	dir := t.TempDir()
	t.Run("killed", func(t *testing.T) {
		c := young(t, dir, 1, "")
		now := session.Now()
		open := func(src, dst hdr.Addr4, port uint16, to hdr.Addr4, last uint32) {
			k := session.MakeKey4(src, dst, port, 80, hdr.ProtoTCP, 0)
			out := session.MakeKey4(src, to, port, 8080, hdr.ProtoTCP, 0)
			if _, res := c.tables[0].Insert4(k, out.Swap(), c.tables[0].Hash4(k), 0, hdr.TCPSyn, last); res != session.Inserted {
				t.Fatal(res)
			}
		}
		k := session.MakeKey6(v6(1), hdr.Addr6{Hi: 0x20010db8<<32 | 0x0096<<16, Lo: 1}, 1000, 80, hdr.ProtoTCP, 0)
		out := session.MakeKey6(v6(1), v6(11), 1000, 8080, hdr.ProtoTCP, 0)
		err := c.do(t.Context(), c.workers.All()[0], func() error {
			const vip = 10<<24 | 96<<16 | 1
			open(1, vip, 1000, 11, now-5)
			open(1, vip, 1001, 12, now-2) // the last one counts
			open(2, vip, 1000, 11, now-5)
			open(3, 99, 1000, 99, now) // of no service
			if _, res := c.tables[0].Insert6(&k, ptr(out.Swap()), c.tables[0].Hash6(&k), 0, hdr.TCPSyn, now); res != session.Inserted {
				t.Error(res)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("next", func(t *testing.T) {
		want := []string{"0.0.0.1 at 0.0.0.12:8080", "0.0.0.2 at 0.0.0.11:8080", "2001:db8::1 at 2001:db8::b:8080"}
		if got := clientsOf(t, young(t, dir, 1, ""), 0); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

func ptr[T any](x T) *T { return &x }

// What is damaged is not believed, and not left.
func TestAffinityDamaged(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"", "skein affinity 0\n", affinityHeader + "x", "\x00"} {
		if err := os.WriteFile(affinityPath(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := takeAffinity(dir); all != nil || err == nil {
			t.Errorf("%q: %v, %v", text, all, err)
		}
		if _, err := os.Stat(affinityPath(dir)); err == nil {
			t.Errorf("%q is left", text)
		}
	}
}

// What sessions say that another node's packets are in: those that left for it in
// a tunnel, and those that came from it.
func TestStayOf(t *testing.T) {
	tunnelled := uint16(1)
	for !nodes.Tunnelled(&session.Session{Flags: tunnelled}) {
		tunnelled <<= 1
	}
	const vip, nodePort, node, end = 1, 30080, 20, 11
	svc, err := nat.NewService(nat.Spec{ID: 1, Name: "web", DSR: true, Affinity: 100, All: []nat.Backend{
		{Addr: nat.Addr4(end), Port: 8080, Node: nat.Addr4(node)}, {Addr: nat.Addr4(end + 1), Port: 8080, Node: nat.Addr4(node + 1)}}})
	if err != nil {
		t.Fatal(err)
	}
	none, err := nat.NewService(nat.Spec{ID: 2, Name: "none"})
	if err != nil {
		t.Fatal(err)
	}
	edit := new(nat.Services).Edit()
	for _, f := range []*nat.Front{
		{Key: nat.FrontKey{Addr: nat.Addr4(vip), Port: 80, Proto: hdr.ProtoTCP}, Kind: nat.LoadBalancer, Service: svc},
		{Key: nat.FrontKey{Addr: nat.Addr4(0), Port: nodePort, Proto: hdr.ProtoTCP}, Kind: nat.NodePort, Service: svc},
		{Key: nat.FrontKey{Addr: nat.Addr4(vip), Port: 81, Proto: hdr.ProtoTCP}, Kind: nat.LoadBalancer, Service: none},
	} {
		if err := edit.Set(f); err != nil {
			t.Fatal(err)
		}
	}
	services := edit.Done()
	table, err := session.New(session.Config{Capacity: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	for i, test := range []struct {
		name    string
		dst, to hdr.Addr4
		port    uint16
		flags   uint16
		want    hdr.Addr4 // the backend; 0: none
	}{
		{"to a pod", vip, end + 1, 80, 0, end + 1},
		{"to another node", vip, node + 1, 80, tunnelled, end + 1},
		{"to a node that is gone", vip, node + 2, 80, tunnelled, 0},
		{"to another node's NodePort", 99, end, nodePort, 0, end},
		{"without affinity", vip, end, 81, 0, 0},
		{"to no service", 99, end, 80, 0, 0},
	} {
		k := session.MakeKey4(7, test.dst, uint16(1000+i), test.port, hdr.ProtoTCP, 0)
		out := session.MakeKey4(7, test.to, uint16(1000+i), 8080, hdr.ProtoTCP, 0)
		r, res := table.Insert4(k, out.Swap(), table.Hash4(k), 0, hdr.TCPSyn, 50)
		if res != session.Inserted {
			t.Fatal(res)
		}
		table.At(r.Index()).Flags = test.flags
		e, is := stayOf(services, table, r.Index())
		if is != (test.want != 0) || is && (e.Client != nat.Addr4(7) || e.Backend != nat.Addr4(test.want) || e.Port != 8080 || e.Until != 150 || services.Find(&e.Front).Service != svc) {
			t.Errorf("%s: %+v, %v", test.name, e, is)
		}
	}
}

// Any bytes are stays or an error.
func FuzzStays(f *testing.F) {
	text, err := binary.Append([]byte(affinityHeader), binary.NativeEndian, []stay{{Client: nat.Addr4(1), Backend: nat.Addr4(2), Port: 80, Until: 9}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseStays(text)
		if err != nil {
			return
		}
		again, err := binary.Append([]byte(affinityHeader), binary.NativeEndian, all)
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("%v is written as %x, %v", all, again, err)
		}
	})
}
