package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

// Which backend a client of a service with session affinity has goes to the next
// process: all that the workers remember where this one ends in order, and what
// sessions tell of it where it was killed.

// A stay is one client's time with its backend.
type stay struct {
	Front   nat.FrontKey // of the service: its numbers (nat.Spec.ID) are the process' own
	Client  hdr.Addr6
	Backend hdr.Addr6
	Port    uint16 // of the backend
	Until   uint32 // seconds, on the clock of session.Now
}

// affinityHeader comes before stays in the machine's own order, as the file never
// leaves it. Its number changes with stay.
const affinityHeader = "skein affinity 1\n"

func affinityPath(runDir string) string { return filepath.Join(runDir, "affinity") }

// leaveAffinity writes down what the workers remember, once they have ended.
func (c *Control) leaveAffinity() error {
	fronts := affinityFronts(c.services())
	if len(fronts) == 0 {
		return nil
	}
	var all []stay
	now := session.Now()
	for _, w := range c.workers.All() {
		for _, v6 := range []bool{false, true} {
			affinityOf(w, v6).All(now, func(id uint32, e nat.AffinityEntry) bool {
				if front, there := fronts[id]; there {
					all = append(all, stay{front, e.Client, e.Backend, e.Port, now + e.Left})
				}
				return true
			})
		}
	}
	path := affinityPath(c.cfg.RunDir)
	text, err := binary.Append([]byte(affinityHeader), binary.NativeEndian, all)
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path) // a half of it would look whole
	}
	if err != nil {
		return fmt.Errorf("control: session affinity for the next process: %w", err)
	}
	return nil
}

// recallAffinity has the workers remember what a predecessor has known, before
// there is any interface. Each of them gets all: a client's next flow may be any
// worker's, and there may be more of them now, or fewer.
func (c *Control) recallAffinity(ctx context.Context) {
	all, err := takeAffinity(c.cfg.RunDir)
	services := c.services()
	if len(affinityFronts(services)) > 0 {
		if all == nil {
			sessions, walked := c.staysOfSessions(ctx, services)
			all, err = sessions, errors.Join(err, walked)
		}
		// The latest comes last: it replaces others of the same client's, and is not
		// forgotten for the sake of those that have less time left.
		slices.SortFunc(all, func(a, b stay) int { return cmp.Compare(a.Until, b.Until) })
		err = errors.Join(err, c.doAll(ctx, func(w *graph.Worker) error {
			recallStays(w, services, all, session.Now())
			return nil
		}))
	}
	if err != nil { // clients may get other backends
		c.log.Warn("session affinity of a predecessor", zap.Error(err))
	}
}

// takeAffinity returns what leaveAffinity has left, and removes it. It is nil if
// there is nothing, or nothing that can be read.
func takeAffinity(runDir string) ([]stay, error) {
	path := affinityPath(runDir)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err = errors.Join(err, os.Remove(path)); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	all, err := parseStays(text)
	if err != nil {
		return nil, fmt.Errorf("control: %s: %w", path, err)
	}
	return all, nil
}

// parseStays returns what a file of stays has in it: not nil if it is one.
func parseStays(text []byte) ([]stay, error) {
	rest, ours := bytes.CutPrefix(text, []byte(affinityHeader))
	size := binary.Size(stay{})
	if !ours || len(rest)%size != 0 {
		return nil, errors.New("of another version, or damaged")
	}
	all := make([]stay, len(rest)/size)
	_, err := binary.Decode(rest, binary.NativeEndian, all)
	return all, err
}

// recallStays has a worker remember stays whose service is still there. Its
// goroutine calls it.
func recallStays(w *graph.Worker, services *nat.Services, all []stay, now uint32) {
	for i := range all {
		e := &all[i]
		f := services.Find(&e.Front)
		if left := int32(e.Until - now); f != nil && left > 0 {
			affinityOf(w, !e.Client.IsMapped4()).Remember(f.Service.ID,
				nat.AffinityEntry{Client: e.Client, Backend: e.Backend, Port: e.Port, Left: min(uint32(left), f.Service.Affinity)}, now)
		}
	}
}

// staysOfSessions returns what the sessions tell.
func (c *Control) staysOfSessions(ctx context.Context, services *nat.Services) (all []stay, err error) {
	err = c.walkSessions(ctx, func(t *session.Table, i uint32) bool {
		if e, is := stayOf(services, t, i); is {
			all = append(all, e)
		}
		return true
	})
	return all, err
}

// stayOf returns what a session tells: its client has been with its backend until
// the last packet.
func stayOf(services *nat.Services, t *session.Table, i uint32) (e stay, is bool) {
	r := session.Ref(i<<1 | session.Forward)
	if t.At(i).IsIPv6() {
		k, out := t.Key6(r), t.Out6(r)
		e = stay{Front: nat.FrontKey{Addr: k.Dst(), Port: k.DstPort(), Proto: k.Proto()}, Client: k.Src(), Backend: out.Dst(), Port: out.DstPort()}
	} else {
		k, out := t.Key4(r), t.Out4(r)
		e = stay{Front: nat.FrontKey{Addr: nat.Addr4(k.Dst()), Port: k.DstPort(), Proto: k.Proto()}, Client: nat.Addr4(k.Src()), Backend: nat.Addr4(out.Dst()), Port: out.DstPort()}
	}
	f := services.Find(&e.Front)
	if f == nil { // another node may have sent it on, from a port of its own
		f = services.FindAny(&e.Front)
		if f != nil && !f.Returns() {
			f = nil
		}
	}
	if f == nil || f.Service.Affinity == 0 {
		return e, false
	}
	if nodes.Tunnelled(t.At(i)) { // the backend's node is known, and is all that matters
		at := slices.IndexFunc(f.Service.All, func(b nat.Backend) bool { return b.Node == e.Backend })
		if at < 0 {
			return e, false
		}
		e.Backend, e.Port = f.Service.All[at].Addr, f.Service.All[at].Port
	}
	e.Front, e.Until = f.Key, t.At(i).Last+f.Service.Affinity
	return e, true
}

// affinityFronts returns by what each service with affinity is known to the next
// process: its ClusterIP, or what else comes first.
func affinityFronts(services *nat.Services) map[uint32]nat.FrontKey {
	best := map[uint32]*nat.Front{}
	for f := range services.All {
		if f.Service.Affinity == 0 {
			continue
		}
		if was := best[f.Service.ID]; was == nil || compareFronts(f, was) < 0 {
			best[f.Service.ID] = f
		}
	}
	out := make(map[uint32]nat.FrontKey, len(best))
	for id, f := range best {
		out[id] = f.Key
	}
	return out
}

// affinityOf returns what a worker remembers of clients of a family.
func affinityOf(w *graph.Worker, v6 bool) *nat.Affinity {
	node := "ip4-service"
	if v6 {
		node = "ip6-service"
	}
	return w.Node(node).(nodes.AffinityHolder).Affinity()
}

// services returns the services that are in force.
func (c *Control) services() *nat.Services {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nat.last == nil {
		return new(nat.Services)
	}
	return c.nat.last.Services
}
