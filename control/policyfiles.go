package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/skein-dataplane/skein/policy/resource"
)

// A policyFile is what a file of the configuration has been read as.
type policyFile = manifest[*resource.File]

// rereadPolicy makes the policies of files those that the files have now, or, if
// any of it can't be, changes nothing.
func (c *Control) rereadPolicy(ctx context.Context) error {
	files, err := readPolicies(c.cfg.Policy.Files)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(files, func(f policyFile) bool { return len(f.objects.Resources) > 0 }) {
		if err := c.openSessions(ctx); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ps := &c.policies
	was := ps.files
	err = ps.replaceFiles(files)
	if err == nil {
		err = c.commitPolicy()
	}
	if err != nil {
		return errors.Join(err, ps.replaceFiles(was), c.commitPolicy(), c.publish())
	}
	c.logAlarms()
	return c.publish()
}

// replaceFiles makes the resources of files those given. On error some of them
// are: then those of before are to be put back.
func (ps *policies) replaceFiles(next []policyFile) error {
	for _, f := range ps.files { // first, as another file may have now what one had
		if err := ps.engine.Replace(f.name); err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
	maps.DeleteFunc(ps.sources, func(_ resource.Ref, of string) bool { return of != apiSource })
	ps.files, ps.left = next, nil
	for _, f := range next {
		if err := ps.upsert(f.name, f.objects.Resources); err != nil {
			return err
		}
		ps.active = ps.active || len(f.objects.Resources) > 0
		ps.left = append(ps.left, f.objects.Alarms...)
	}
	return nil
}
