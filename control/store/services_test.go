package store_test

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/service"
)

// Services and NAT are there again after the store was closed, and can be
// forgotten, one by one or all.
func TestServicesAndNAT(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := store.Open(path, 0)
	need(t, err)
	if all, err := s.Services(); err != nil || len(all) != 0 {
		t.Fatalf("a new store has services: %v, %v", all, err)
	}
	web := service.Service{Namespace: "default", Name: "web", Created: time.Unix(1700000000, 0).UTC(), Type: "ClusterIP",
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("2001:db8:96::10")}, Ports: []service.Port{{Name: "http", Proto: 6, Port: 80}},
		Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Affinity: time.Hour}
	slice := service.Slice{Namespace: "default", Name: "web-x", Service: "web", Ports: []service.SlicePort{{Name: "http", Proto: 6, Port: 8080}},
		Endpoints: []service.Endpoint{{Addr: netip.MustParseAddr("10.244.0.2"), Ready: true, Node: "node"}}}
	objects := store.ServicesOf(service.Objects{Services: []*service.Service{&web}, Slices: []*service.Slice{&slice}})
	need(t, s.PutServices(objects...))
	entries := []store.NAT{{Pool: netip.MustParsePrefix("10.244.0.0/16"), Outgoing: true}, {Static: "local 10.244.0.2 external 192.0.2.1"}}
	for _, n := range entries {
		need(t, s.PutNAT(n))
	}
	need(t, s.Close())
	s, err = store.Open(path, 0)
	need(t, err)
	defer s.Close()
	got, err := s.Services()
	need(t, err)
	if len(got) != 2 || !reflect.DeepEqual(got[0].Slice, &slice) || !reflect.DeepEqual(got[1].Service, &web) {
		t.Errorf("came back as %+v", got)
	}
	if all, err := s.NAT(); err != nil || !reflect.DeepEqual(all, entries) {
		t.Errorf("NAT came back as %+v, %v", all, err)
	}
	need(t, s.DelServices("EndpointSlice default/web-x"))
	need(t, s.DelNAT(entries[0]))
	if all, err := s.Services(); err != nil || len(all) != 1 || all[0].Key() != "Service default/web" {
		t.Errorf("after one was deleted: %+v, %v", all, err)
	}
	need(t, s.Clear())
	services, err := s.Services()
	rest, err2 := s.NAT()
	if err != nil || err2 != nil || len(services)+len(rest) != 0 {
		t.Errorf("after all was forgotten: %+v %+v, %v %v", services, rest, err, err2)
	}
}
