package control

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/state"
)

// A PolicyEnd is an interface at which policy has a say, or an access list.
type PolicyEnd struct {
	Name, Interface string
	Host            bool
	Closed          bool // nothing passes: what holds there could not be worked out
	Addrs           []netip.Addr
	Labels          map[string]string
	Gates           []PolicyGate // where there are rules
}

// A PolicyGate is what is asked at one place of an endpoint.
type PolicyGate struct {
	Gate state.Gate
	policy.Status
	Hits []uint64 // by number in the program
}

// Endpoints returns where policy has a say: everywhere, or at one endpoint or
// interface.
func (c *Control) Endpoints(ctx context.Context, name string) ([]PolicyEnd, error) {
	out, ruled, err := c.endpoints(name)
	if err != nil {
		return nil, err
	}
	err = c.doAll(ctx, func(w *graph.Worker) error { // each worker writes its own
		for i := range out {
			for j := range out[i].Gates {
				out[i].Gates[j].add(ruled[i][j].HitsOf(w.ID()))
			}
		}
		return nil
	})
	return out, err
}

// add adds what one worker has counted.
func (g *PolicyGate) add(hits []uint64) {
	if g.Hits == nil {
		g.Hits = make([]uint64, len(hits))
	}
	for i, n := range hits {
		g.Hits[i] += n
	}
}

// endpoints does so, and returns where the hits of each gate are.
func (c *Control) endpoints(name string) (out []PolicyEnd, ruled [][]*state.Ruled, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ports := c.ports
	if name != "" {
		p, err := c.portOf(name)
		if err != nil {
			return nil, nil, err
		}
		ports = []*port{p}
	}
	known := c.policies.last
	for _, p := range ports {
		if p == nil || known == nil || known.At(p.index) == nil {
			continue
		}
		end, rules, err := c.endpoint(p, known.At(p.index))
		if err != nil {
			return nil, nil, err
		}
		out, ruled = append(out, end), append(ruled, rules)
	}
	return out, ruled, nil
}

func (c *Control) endpoint(p *port, at *state.Endpoint) (out PolicyEnd, ruled []*state.Ruled, err error) {
	out = PolicyEnd{Name: at.Name, Interface: p.Name, Host: p.Kind != iface.Tun, Closed: at.Closed, Labels: p.peer.Workload.Labels}
	out.Gates, ruled = listGates(at)
	e := c.endAt(p)
	if e == nil {
		return out, ruled, nil
	}
	out.Addrs = e.Addrs
	all, err := c.policies.engine.Show(e.ID)
	if err != nil {
		return out, nil, fmt.Errorf("control: %w: %w", ErrNotFound, err)
	}
	for _, st := range all {
		for gate, d := range directions {
			if r := at.At(gate); d == st.Direction && r != nil && r.Program == st.Program {
				out.Gates, ruled = append(out.Gates, PolicyGate{Gate: gate, Status: st}), append(ruled, r)
			}
		}
	}
	return out, ruled, nil
}

// workloadName is what an endpoint at a TUN is called.
func (p *port) workloadName() string {
	w := p.peer.Workload
	if w.Name == "" {
		w.Name = p.Name
	}
	return w.Namespace + "/" + w.Name
}
