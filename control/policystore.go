package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/policy/resource"
	"github.com/skein-dataplane/skein/state"
)

// What the API was given survives a restart as the texts that it came in, each
// with the names of the resources that still are as it says.

// refKey is what the store knows a resource by.
func refKey(r resource.Ref) string {
	return strings.Join([]string{r.Group, r.Kind, r.Namespace, r.Name}, "|")
}

// rememberBatch keeps a text for the next start. Texts of which nothing is left
// are forgotten. c.mu is held.
func (c *Control) rememberBatch(name string, text []byte, all []resource.Resource) error {
	ps := &c.policies
	touched := map[uint64]bool{}
	ps.batch++
	b := &store.Policies{Number: ps.batch, Name: name, Text: text}
	for _, r := range all {
		touched[ps.release(r.Ref)] = true
		ps.applied[r.Ref] = applied{r, ps.batch}
		b.Refs = append(b.Refs, refKey(r.Ref))
	}
	ps.batches[ps.batch], touched[ps.batch] = b, true
	return c.storeBatches(touched)
}

// forgetPolicies does so for resources that are deleted. c.mu is held.
func (c *Control) forgetPolicies(refs []resource.Ref) error {
	touched := map[uint64]bool{}
	for _, ref := range refs {
		touched[c.policies.release(ref)] = true
		delete(c.policies.applied, ref)
		delete(c.policies.sources, ref)
	}
	return c.storeBatches(touched)
}

// release takes a resource out of its batch, whose number it returns; 0 if it
// is in none.
func (ps *policies) release(ref resource.Ref) uint64 {
	n := ps.applied[ref].batch
	if b := ps.batches[n]; b != nil {
		b.Refs = slices.DeleteFunc(b.Refs, func(key string) bool { return key == refKey(ref) })
	}
	return n
}

func (c *Control) storeBatches(touched map[uint64]bool) error {
	var put []store.Policies
	var del []uint64
	for _, n := range slices.Sorted(maps.Keys(touched)) {
		b := c.policies.batches[n]
		switch {
		case b == nil:
		case len(b.Refs) == 0:
			delete(c.policies.batches, n)
			del = append(del, n)
		default:
			put = append(put, *b)
		}
	}
	return c.store.ChangePolicies(put, del)
}

// restoreBatches takes up again what the API was given. c.mu is held.
func (c *Control) restoreBatches(all []store.Policies) {
	ps := &c.policies
	for _, b := range all {
		ps.batch = max(ps.batch, b.Number)
		f, err := resource.Parse(b.Name, b.Text)
		if err != nil {
			c.log.Error("policies could not be read again", zap.String("name", b.Name), zap.Error(err))
			continue
		}
		ps.batches[b.Number] = &b
		for _, r := range f.Resources {
			if !slices.Contains(b.Refs, refKey(r.Ref)) {
				continue
			}
			if err := ps.upsert(apiSource, []resource.Resource{r}); err != nil {
				c.log.Error("a policy could not be taken up again", zap.Stringer("policy", r.Ref), zap.Error(err))
				continue
			}
			ps.applied[r.Ref] = applied{r, b.Number}
		}
	}
}

// allAlarms returns what was asked for and is not done.
func (ps *policies) allAlarms() []resource.Alarm { return slices.Concat(ps.left, ps.engine.Alarms()) }

// logAlarms says what has come up since the last time, once. c.mu is held.
func (c *Control) logAlarms() {
	now := map[string]bool{}
	for _, a := range c.policies.allAlarms() {
		text := a.String()
		if now[text] = true; !c.policies.alarms[text] {
			c.log.Warn("policy is not done as asked", zap.String("alarm", text))
		}
	}
	c.policies.alarms = now
}

// logMatch logs a packet that a Log rule has matched. There are at most 100 in
// a second: the data plane counts the others only. c.mu is held.
func (c *Control) logMatch(n state.Notice) {
	rule, name := "a rule that has changed since", c.ports[n.Iface].Name
	if p := c.policies.last; p != nil && p.Gen == n.Log.Gen && p.At(n.Iface) != nil {
		e := p.At(n.Iface)
		name = e.Name
		if r := e.At(n.Log.Gate); r != nil && int(n.Log.Rule) < r.Program.NumRules() {
			rule = r.Program.Rule(n.Log.Rule).String()
		}
	}
	verdict := "does not allow it"
	if n.Log.Allowed {
		verdict = "allows it"
	}
	c.log.Info("policy log", zap.String("endpoint", name), zap.Stringer("gate", n.Log.Gate), zap.String("rule", rule),
		zap.String("packet", loggedWords(n)), zap.String("policy", verdict))
}

// loggedWords writes a logged packet on one line.
func loggedWords(n state.Notice) string {
	src, dst, l := n.Addr(), n.Log.Dst.Addr().Unmap(), n.Log
	name := protoName(l.Proto)
	switch {
	case isICMP(l.Proto):
		return fmt.Sprintf("%s > %s: %s type %d code %d", src, dst, name, l.SrcPort, l.DstPort)
	case l.SrcPort|l.DstPort == 0:
		return fmt.Sprintf("%s > %s: %s", src, dst, name)
	}
	return fmt.Sprintf("%s > %s: %s %d > %d", src, dst, name, l.SrcPort, l.DstPort)
}
