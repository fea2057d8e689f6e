package control

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/service"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// A ServiceView is one port of a service in one family, as it is shown.
type ServiceView struct {
	*nat.Service
	Fronts   []nat.Front
	Backends []BackendView
	Clients  []nat.AffinityEntry // if they were asked for
}

// A BackendView is a backend, and how many flows it was given.
type BackendView struct {
	nat.Backend
	InUse bool // for flows that no traffic policy keeps on this node
	Flows uint64
}

// Services returns the services that are in force by name, and what of them
// could not be had. One that is named comes with its clients.
func (c *Control) Services(ctx context.Context, name string) (out []ServiceView, alarms []service.Alarm, err error) {
	c.mu.Lock()
	now := c.nat.last
	if c.nat.table != nil {
		alarms = append(c.nat.table.Alarms(), c.redirectAlarms()...)
		if why := c.unread["services"]; why != "" {
			alarms = append(alarms, service.Alarm{What: "files of the configuration: " + why})
		}
	}
	c.mu.Unlock()
	if now != nil {
		out = viewsOf(now, name)
	}
	if name != "" && len(out) == 0 {
		return nil, nil, fmt.Errorf("control: service %q: %w", name, ErrNotFound)
	}
	err = c.doAll(ctx, func(w *graph.Worker) error {
		for i := range out {
			out[i].countBackends(w)
			if name != "" {
				out[i].addClients(w)
			}
		}
		return nil
	})
	return out, alarms, err
}

// viewsOf returns the services of a name, or all.
func viewsOf(now *state.NAT, name string) (out []ServiceView) {
	at := map[*nat.Service]int{}
	for f := range now.Services.All {
		if base, _, _ := strings.Cut(f.Service.Name, ":"); name != "" && name != base && name != f.Service.Name {
			continue
		}
		i, there := at[f.Service]
		if !there {
			i = len(out)
			at[f.Service] = i
			out = append(out, ServiceView{Service: f.Service})
		}
		out[i].Fronts = append(out[i].Fronts, *f)
	}
	for i := range out {
		slices.SortFunc(out[i].Fronts, func(a, b nat.Front) int { return compareFronts(&a, &b) })
	}
	slices.SortFunc(out, func(a, b ServiceView) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return compareFronts(&a.Fronts[0], &b.Fronts[0])
	})
	return out
}

func compareFronts(a, b *nat.Front) int {
	if a.Kind != b.Kind {
		return int(a.Kind) - int(b.Kind)
	}
	if c := a.Key.Addr.Compare(b.Key.Addr); c != 0 {
		return c
	}
	return int(a.Key.Proto)<<16 + int(a.Key.Port) - int(b.Key.Proto)<<16 - int(b.Key.Port)
}

// countBackends adds the backends, with the flows that were given to them. All
// workers count together; the first one's goroutine calls it to some effect.
func (v *ServiceView) countBackends(w *graph.Worker) {
	if w.ID() != 0 {
		return
	}
	for _, b := range v.Service.Backends() {
		is := func(x nat.Backend) bool { return x.Addr == b.Addr && x.Port == b.Port }
		v.Backends = append(v.Backends, BackendView{b, slices.ContainsFunc(v.All, is), atomic.LoadUint64(b.Hits)})
	}
}

// addClients adds those that a worker has given a backend. Its goroutine calls
// it.
func (v *ServiceView) addClients(w *graph.Worker) {
	for _, node := range []string{"ip4-service", "ip6-service"} {
		if holder, ok := w.Node(node).(nodes.AffinityHolder); ok {
			holder.Affinity().Entries(v.ID, w.Second(), func(e nat.AffinityEntry) bool {
				v.Clients = append(v.Clients, e)
				return len(v.Clients) < maxClients
			})
		}
	}
}

// maxClients is how many clients of one service are shown.
const maxClients = 1000

// A NATView is what NAT is made of, as it is shown.
type NATView struct {
	Active     bool
	Pools      []Pool
	Excluded   []netip.Prefix
	Statics    []StaticMap
	Own        []netip.Addr
	Ports      []nat.PortRange
	Exhausted  [2]nat.PortStats // of IPv4, of IPv6
	Translated [2]int           // sessions
	Mapping    string           // configs.EndpointDependent or EndpointIndependent
	Mapped     [2]int           // ends inside that have a mapping
}

// NAT returns what flows leave with.
func (c *Control) NAT(ctx context.Context) (v NATView, err error) {
	v = c.natView()
	err = c.doAll(ctx, func(w *graph.Worker) error {
		for i, node := range []string{"ip4-open", "ip6-open"} {
			if holder, ok := w.Node(node).(nodes.PortHolder); ok {
				v.Exhausted[i].Add(holder.PortStats())
				v.Mapped[i] += holder.Mapped()
			}
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	err = c.walkSessions(ctx, func(t *session.Table, i uint32) bool {
		family := 0
		if t.At(i).IsIPv6() {
			family = 1
		}
		if translated(t, i) {
			v.Translated[family]++
		}
		return true
	})
	return v, err
}

func (c *Control) natView() (v NATView) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.nat
	v = NATView{Active: t.active, Excluded: slices.Clone(t.exclude), Own: slices.Clone(t.world.Own), Ports: c.natPorts(), Mapping: cmp.Or(c.cfg.NAT.Mapping, configs.EndpointDependent)}
	if t.table != nil {
		for _, a := range t.table.Nodes() {
			v.Excluded = append(v.Excluded, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(t.pools), comparePrefixes) {
		v.Pools = append(v.Pools, t.pools[p])
	}
	for _, m := range slices.SortedFunc(maps.Keys(t.maps), compareStatics) {
		v.Statics = append(v.Statics, StaticMap{m, t.maps[m]})
	}
	return v
}

// translated reports whether packets of a session leave with other addresses or
// ports than they come with.
func translated(t *session.Table, i uint32) bool {
	forward := session.Ref(i<<1 | session.Forward)
	if nodes.Tunnelled(t.At(i)) {
		return false
	}
	if t.At(i).IsIPv6() {
		return t.Key6(forward) != t.Out6(forward)
	}
	return t.Key4(forward) != t.Out4(forward)
}

// ProtoName is what people call a protocol that services have.
func ProtoName(p uint8) string {
	switch p {
	case hdr.ProtoTCP:
		return "tcp"
	case hdr.ProtoUDP:
		return "udp"
	case hdr.ProtoSCTP:
		return "sctp"
	}
	return fmt.Sprint(p)
}
