package store_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/store"
)

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func need(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What is put is there after closing and opening; what is deleted is not.
func TestRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	ip := netip.MustParseAddr("10.0.0.1")
	s := open(t, path)
	need(t, s.PutTun(store.Tun{Pod: configs.Pod{Name: "tun0", NetNS: "/run/netns/a"}}),
		s.PutTun(store.Tun{Pod: configs.Pod{Name: "tun1"}, Configured: true}),
		s.PutRoute("k", "10.0.0.0/8 via 10.0.0.1"), s.PutRoute("gone", "x"), s.DelRoute("gone"), s.DelRoute("never"),
		s.PutNeighbor(store.Neighbor{Interface: "tap0", IP: ip, MAC: "02:00:00:00:00:01"}),
		s.ChangeDeny([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}, nil),
		s.ChangeDeny(nil, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}),
		s.PutInterface(store.Interface{Name: "tun0"}), s.PutInterface(store.Interface{Name: "tun1"}),
		s.DelTun("tun1"), s.Close())
	s = open(t, path)
	tuns, err := s.Tuns()
	need(t, err)
	routes, err := s.Routes()
	need(t, err)
	neighbors, err := s.Neighbors()
	need(t, err)
	denied, err := s.Deny()
	need(t, err)
	if len(denied) != 1 || denied[0].String() != "2001:db8::/32" {
		t.Error(denied)
	}
	ifaces, err := s.Interfaces()
	need(t, err, s.DelNeighbor("tap0", ip))
	none, err := s.Neighbors()
	need(t, err, s.Close())
	if len(tuns) != 1 || tuns[0].Pod.NetNS != "/run/netns/a" || !slices.Equal(routes, []string{"10.0.0.0/8 via 10.0.0.1"}) ||
		len(neighbors) != 1 || neighbors[0].IP != ip || len(ifaces) != 1 || ifaces[0].Name != "tun0" || len(none) != 0 {
		t.Error(tuns, routes, neighbors, ifaces, none)
	}
}

// A store that is not one is refused in words, whatever it is.
func TestRefuses(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.db")
	s := open(t, good)
	for i := range 300 {
		need(t, s.PutRoute(strings.Repeat("k", i+1), strings.Repeat("x", 500)))
	}
	need(t, s.Close())
	whole, err := os.ReadFile(good)
	need(t, err)
	garbled := slices.Clone(whole)
	for i := 2 * 4096; i < len(garbled); i += 7 {
		garbled[i] ^= 0x55
	}
	tests := map[string][]byte{
		"text":      []byte("hello"),
		"one page":  whole[:4096],
		"half":      whole[:len(whole)/2],
		"cut short": whole[:3*4096],
		"garbled":   garbled,
	}
	for name, text := range tests {
		path := filepath.Join(t.TempDir(), "state.db")
		need(t, os.WriteFile(path, text, 0o600))
		if s, err := store.Open(path, time.Second); err == nil {
			t.Errorf("%s: accepted", name)
			need(t, s.Close())
		} else if !strings.Contains(err.Error(), "move it away") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edit := range map[string]func(*bbolt.Tx) error{
		"version":     func(tx *bbolt.Tx) error { return tx.Bucket([]byte("skein")).Put([]byte("version"), []byte("99")) },
		"not a store": func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("skein")) },
	} {
		path := filepath.Join(t.TempDir(), "state.db")
		need(t, open(t, path).Close())
		db, err := bbolt.Open(path, 0o600, nil)
		need(t, err, db.Update(edit), db.Close())
		if _, err := store.Open(path, time.Second); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One process at a time has the store.
func TestOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	if _, err := store.Open(path, 10*time.Millisecond); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	need(t, s.Close())
}
