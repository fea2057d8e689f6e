package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/policy/resource"
	"github.com/skein-dataplane/skein/state"
)

// policies is what control knows of policy. The zero value but for its engine
// knows none, and then the data plane is not asked.
type policies struct {
	engine *policy.Engine
	// active is set by the first resource, and stays until the daemon ends: who
	// has had policy does not lose it by deleting the last of it.
	active bool
	sets   *acl.Sets
	ends   map[string]*policy.Endpoint // by ID
	gen    uint32
	ruled  map[place]*state.Ruled // what is in the data plane now
	last   *state.Policy

	files   []policyFile            // as they were read last
	sources map[resource.Ref]string // whose each resource is: a file's, or apiSource
	applied map[resource.Ref]applied
	batches map[uint64]*store.Policies // what the API was given, by number
	batch   uint64                     // the last number
	left    []resource.Alarm           // documents of files that were left out
	alarms  map[string]bool            // that are logged
}

// An applied resource is one of the API's, with the number of its batch.
type applied struct {
	resource.Resource
	batch uint64
}

// A place is where a program is asked: at an interface, at a gate.
type place struct {
	iface uint32
	gate  state.Gate
}

// apiSource is whose the resources are that the API was given.
const apiSource = "api"

func newPolicies(cfg configs.Policy) (policies, error) {
	in, err := failsafe(cfg.FailsafeIn)
	out, err2 := failsafe(cfg.FailsafeOut)
	return policies{engine: policy.New(policy.Options{Node: nodeName(cfg), FailsafeIn: in, FailsafeOut: out}),
		ends: map[string]*policy.Endpoint{}, ruled: map[place]*state.Ruled{},
		sources: map[resource.Ref]string{}, applied: map[resource.Ref]applied{}, batches: map[uint64]*store.Policies{}, alarms: map[string]bool{}}, errors.Join(err, err2)
}

// failsafe returns configured ports; nil, which stands for Calico's, if none are.
func failsafe(ports []string) (out []policy.Failsafe, failed error) {
	if ports != nil {
		out = []policy.Failsafe{}
	}
	for _, text := range ports {
		proto, port, err := configs.ParseFailsafe(text)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("control: policy: %w", err))
			continue
		}
		out = append(out, policy.Failsafe{Proto: proto, Port: port})
	}
	return out, failed
}

// loadPolicy takes up the configured files and what the API was given, before
// anything is touched. A file with an error keeps the daemon from starting;
// what the API was given and can't be any more is logged and left out.
func (c *Control) loadPolicy(ctx context.Context) error {
	stored, err := c.store.Policies()
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	c.files[policyFiles] = stateOfFiles(c.cfg.Policy.Files)
	files, err := readPolicies(c.cfg.Policy.Files)
	if err != nil {
		return err
	}
	if len(files)+len(stored) == 0 {
		return nil
	}
	if err := c.openSessions(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ps := &c.policies
	ps.active = true
	if err := ps.replaceFiles(files); err != nil {
		return err
	}
	c.restoreBatches(stored)
	if err := c.commitPolicy(); err != nil {
		return err
	}
	c.logAlarms()
	c.log.Info("policy", zap.Int("resources", len(ps.sources)), zap.Int("files", len(files)))
	return c.publish()
}

// readPolicies reads files, and those in directories.
func readPolicies(paths []string) ([]manifest[*resource.File], error) {
	return readManifests("policy", paths, func(name string, text []byte) (*resource.File, error) {
		f, err := resource.Parse(name, text)
		if err != nil {
			return nil, fmt.Errorf("control: policy: %w: %w", ErrInvalid, err)
		}
		return f, nil
	})
}

// CheckPolicy reads what the configuration names, as a daemon does that starts.
func CheckPolicy(cfg configs.Policy) error {
	files, err := readPolicies(cfg.Files)
	ps, err2 := newPolicies(cfg)
	err = errors.Join(err, err2)
	for _, f := range files {
		err = errors.Join(err, ps.upsert(f.name, f.objects.Resources))
	}
	return err
}

// upsert adds the resources of a source, or puts them in the place of those of
// the same names.
func (ps *policies) upsert(source string, all []resource.Resource) error {
	err := resource.Duplicates(all)
	if err == nil {
		err = ps.engine.Upsert(source, all...)
	}
	switch {
	case errors.Is(err, policy.ErrConflict):
		return fmt.Errorf("control: %w: %w", ErrExists, err)
	case err != nil:
		return fmt.Errorf("control: %w: %w", ErrInvalid, err)
	}
	for _, r := range all {
		ps.sources[r.Ref] = source
	}
	return nil
}

// ApplyPolicy adds resources, or changes those of the same names: all that the
// YAML documents hold, or, if any of it can't be, nothing. name is what
// messages call the text.
func (c *Control) ApplyPolicy(ctx context.Context, name string, text []byte) (*resource.File, error) {
	if err := c.AwaitReady(ctx); err != nil {
		return nil, err
	}
	f, err := resource.Parse(name, text)
	if err != nil {
		return nil, fmt.Errorf("control: %w: %w", ErrInvalid, err)
	}
	if len(f.Resources) == 0 {
		return f, nil
	}
	if err := c.openSessions(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ps := &c.policies
	was := ps.own()
	if err := ps.upsert(apiSource, f.Resources); err != nil {
		return nil, err
	}
	ps.active = true
	if err := c.commitPolicy(); err != nil {
		return nil, errors.Join(err, c.revertPolicy(was, f.Resources))
	}
	c.logAlarms()
	if err := c.publish(); err != nil {
		return nil, err
	}
	return f, c.remembered(c.rememberBatch(name, text, f.Resources))
}

// own returns the API's resources.
func (ps *policies) own() (all []resource.Resource) {
	for _, a := range ps.applied {
		all = append(all, a.Resource)
	}
	return all
}

// revertPolicy makes the API's resources what they were before a change that
// could not be compiled. c.mu is held.
func (c *Control) revertPolicy(was, tried []resource.Resource) error {
	ps := &c.policies
	for _, r := range tried {
		if _, before := ps.applied[r.Ref]; !before {
			delete(ps.sources, r.Ref)
		}
	}
	return errors.Join(ps.engine.Replace(apiSource, was...), c.commitPolicy(), c.publish())
}

// A PolicyRef names a resource. Kind is in any case; a Group of "*" is that of
// the only one there is.
type PolicyRef = resource.Ref

// DeletePolicy deletes resources that ApplyPolicy has taken: all, or none.
func (c *Control) DeletePolicy(ctx context.Context, wanted ...PolicyRef) error {
	if err := c.AwaitReady(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ps := &c.policies
	var refs []resource.Ref
	for _, w := range wanted {
		ref, err := ps.find(w)
		if err != nil {
			return err
		}
		refs = append(refs, ref)
	}
	was := ps.own()
	for _, ref := range refs {
		ps.engine.Delete(apiSource, ref)
	}
	if err := c.commitPolicy(); err != nil {
		return errors.Join(err, c.revertPolicy(was, nil))
	}
	c.logAlarms()
	if err := c.publish(); err != nil {
		return err
	}
	return c.remembered(c.forgetPolicies(refs))
}

// find returns the resource of the API that somebody means.
func (ps *policies) find(w PolicyRef) (found resource.Ref, err error) {
	n := 0
	for ref, source := range ps.sources {
		if !strings.EqualFold(ref.Kind, w.Kind) || ref.Namespace != w.Namespace || ref.Name != w.Name || w.Group != "*" && ref.Group != w.Group {
			continue
		}
		if source != apiSource {
			return ref, fmt.Errorf("control: %w: the configuration has %v, in %s", ErrBusy, ref, source)
		}
		found, n = ref, n+1
	}
	switch n {
	case 0:
		return found, fmt.Errorf("control: %v: %w", w, ErrNotFound)
	case 1:
		return found, nil
	}
	return found, fmt.Errorf("control: %w: %v: there are %d, of several groups: name the group", ErrInvalid, w, n)
}

// A PolicyResource is a resource, and whose it is: a file's of the
// configuration, or "api".
type PolicyResource struct {
	resource.Ref
	Source string
}

// A PolicyStatus is what there is of policy.
type PolicyStatus struct {
	Resources []PolicyResource // by kind, namespace and name
	Alarms    []resource.Alarm
	Active    bool   // policy is asked
	Gen       uint32 // of what is in force
}

// Policy returns what there is of policy.
func (c *Control) Policy() (st PolicyStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ps := &c.policies
	for ref, source := range ps.sources {
		st.Resources = append(st.Resources, PolicyResource{ref, source})
	}
	slices.SortFunc(st.Resources, func(a, b PolicyResource) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Group, b.Group))
	})
	st.Alarms, st.Active, st.Gen = ps.allAlarms(), ps.active, ps.gen
	if why := c.unread["policy"]; why != "" {
		st.Alarms = append(st.Alarms, resource.Alarm{Ref: resource.Ref{Kind: "files", Name: "of the configuration"}, What: why})
	}
	return st
}

// commitPolicy takes over what the engine has worked out; publish makes it the
// data plane's. What could not be compiled is an error, and the rest is in force.
// c.mu is held.
func (c *Control) commitPolicy() error {
	change, err := c.policies.engine.Commit()
	if change != nil {
		c.policies.sets = change.Sets
		for _, id := range change.Removed {
			delete(c.policies.ends, id)
		}
		for _, e := range change.Updated {
			c.policies.ends[e.ID] = e
		}
		if change.Verdicts {
			c.policies.last = nil // the same programs may answer something else
		}
	}
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}
