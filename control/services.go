package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/service"
)

// readServices reads files, and those in directories.
func readServices(paths []string) ([]manifest[service.Objects], error) {
	return readManifests("services", paths, func(name string, text []byte) (service.Objects, error) {
		o, err := service.Parse(name, bytes.NewReader(text))
		if err != nil {
			return o, fmt.Errorf("control: %w: %w", ErrInvalid, err)
		}
		return o, nil
	})
}

// filesOf returns the file of each object, which has to be one.
func filesOf(files []manifest[service.Objects]) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range files {
		for _, key := range keysOf(f.objects) {
			if of, there := out[key]; there && of != f.name {
				return nil, fmt.Errorf("control: %s in %s: %w in %s", key, f.name, ErrExists, of)
			}
			out[key] = f.name
		}
	}
	return out, nil
}

// CheckServices reads what the configuration names, as a daemon does that starts.
func CheckServices(cfg configs.Services) error {
	files, err := readServices(cfg.Files)
	if err == nil {
		_, err = filesOf(files)
	}
	return err
}

// keysOf names objects as kubectl does, in order.
func keysOf(o service.Objects) (out []string) {
	for _, s := range o.Services {
		out = append(out, "Service "+s.Ref())
	}
	for _, s := range o.Slices {
		out = append(out, "EndpointSlice "+s.Ref())
	}
	for _, n := range o.Nodes {
		out = append(out, "Node "+n.Name)
	}
	return out
}

// add takes up objects of a file or of the API, all or none.
func (t *translation) add(source string, o service.Objects) error {
	for _, key := range keysOf(o) {
		if of, there := t.sources[key]; there && of != source {
			return fmt.Errorf("control: %s: %w in %s", key, ErrExists, of)
		}
	}
	for _, key := range keysOf(o) {
		t.sources[key] = source
	}
	for _, s := range o.Services {
		t.table.SetService(s)
		t.vips.set(s.Ref(), s)
	}
	for _, s := range o.Slices {
		t.table.SetSlice(s)
	}
	for _, n := range o.Nodes {
		if t.table.SetNode(n) {
			t.outgoing = nil // other nodes see pods' own addresses
		}
	}
	return nil
}

// ApplyServices adds Services, EndpointSlices and Nodes, or changes those of the same
// names: all that the YAML documents hold or, if any of it can't be, nothing.
// It returns what it has taken, as "Service default/web".
func (c *Control) ApplyServices(ctx context.Context, name string, text []byte) ([]string, error) {
	if err := c.AwaitReady(ctx); err != nil {
		return nil, err
	}
	o, err := service.Parse(name, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("control: %w: %w", ErrInvalid, err)
	}
	if err := c.useNAT(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.nat.add(apiSource, o); err != nil {
		return nil, err
	}
	return keysOf(o), errors.Join(c.publish(), c.remembered(c.store.PutServices(store.ServicesOf(o)...)))
}

// DeleteServices deletes what ApplyServices has taken, by the names that it has
// returned: all or none.
func (c *Control) DeleteServices(ctx context.Context, keys ...string) error {
	if err := c.AwaitReady(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.nat
	for _, key := range keys {
		switch of, there := t.sources[key]; {
		case !there:
			return fmt.Errorf("control: %s: %w", key, ErrNotFound)
		case of != apiSource:
			return fmt.Errorf("control: %w: %s is in %s", ErrBusy, key, of)
		}
	}
	for _, key := range keys {
		t.drop(key)
	}
	return errors.Join(c.publish(), c.remembered(c.store.DelServices(keys...)))
}

// drop forgets an object, by the name that keysOf has for it.
func (t *translation) drop(key string) {
	delete(t.sources, key)
	kind, ref, _ := strings.Cut(key, " ")
	switch kind {
	case "Service":
		t.table.DeleteService(ref)
		t.vips.set(ref, nil)
	case "Node":
		t.table.DeleteNode(ref)
		t.outgoing = nil
	default:
		t.table.DeleteSlice(ref)
	}
}

// logServiceAlarms logs alarms that are new. c.mu is held.
func (c *Control) logServiceAlarms(all []service.Alarm) {
	seen := map[string]bool{}
	for _, a := range all {
		text := a.String()
		seen[text] = true
		if !c.nat.alarms[text] {
			c.log.Warn("services", zap.String("alarm", text))
		}
	}
	c.nat.alarms = seen
}

// watchServices does what follows from a change of services, but is not urgent:
// it answers on healthCheckNodePorts, forgets UDP flows to backends that are
// gone, and logs alarms. A port that somebody has is tried again: a predecessor
// may have it for a moment.
func (c *Control) watchServices(ctx context.Context) {
	var health service.Health
	defer func() {
		if err := health.Close(); err != nil {
			c.log.Warn("services", zap.Error(err))
		}
	}()
	var again <-chan time.Time
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.nat.news:
		case <-again:
		}
		again = nil
		checks, gone := c.takeNews()
		if err := c.forgetFlowsTo(ctx, gone); err != nil && ctx.Err() == nil {
			c.log.Warn("flows to backends that are gone", zap.Error(err))
		}
		if err := health.Set(checks); err != nil {
			if again = time.After(healthRetry); err.Error() != said {
				c.log.Warn("health checks of services are tried again", zap.Error(err))
			}
			said = err.Error()
		}
	}
}

// healthRetry is how often ports are tried that somebody has.
const healthRetry = time.Second

// takeNews returns what is to be answered on healthCheckNodePorts, and backends
// whose UDP flows are to be forgotten.
func (c *Control) takeNews() (map[uint16]service.Check, goneBackends) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := c.nat.gone
	c.nat.gone = newGone()
	c.logServiceAlarms(c.nat.table.Alarms())
	return c.nat.table.HealthChecks(), gone
}
