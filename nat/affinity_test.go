package nat_test

import (
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

// What is told to a table is as if a flow had brought it, with the time that is
// left, and what is read out of one table makes another that chooses the same.
func TestAffinityRemember(t *testing.T) {
	newTable := func() *nat.Affinity {
		a, err := nat.NewAffinity(1000)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	f := nat.Front{Kind: nat.ClusterIP, Service: service(t, nat.Spec{ID: 1, All: backends(50), Affinity: 100})}
	was := newTable()
	choose := func(a *nat.Affinity, client int, hash uint64, now uint32) hdr.Addr6 {
		b, _ := f.Choose(&nat.Client{Addr: nat.Addr4(hdr.Addr4(client)), Hash: hash}, a, now)
		return b.Addr
	}
	want := map[int]hdr.Addr6{}
	for client := range 20 {
		want[client] = choose(was, client, uint64(client)<<59, 40)
	}
	is := newTable()
	was.All(90, func(service uint32, e nat.AffinityEntry) bool {
		if service != 1 || e.Left != 50 {
			t.Errorf("%d: %+v", service, e)
		}
		is.Remember(service, nat.AffinityEntry{Client: e.Client, Backend: nat.Addr4(1), Left: 10}, 1000) // replaced by the next
		is.Remember(service, e, 1000)
		return true
	})
	for client, backend := range want {
		if got := choose(is, client, 0, 1049); got != backend {
			t.Errorf("client %d has %v, and had %v", client, got.Addr(), backend.Addr())
		}
	}
	is.Remember(1, nat.AffinityEntry{Client: nat.Addr4(100), Backend: nat.Addr4(0x0a000005), Port: 8080}, 1049)
	n := 0
	is.All(1049, func(uint32, nat.AffinityEntry) bool { n++; return true })
	if n != len(want) {
		t.Errorf("%d clients, want %d", n, len(want))
	}
}
