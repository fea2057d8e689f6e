package cni

import (
	"context"
	"errors"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control/pending"
)

// del ends an attachment, also one that is not there (CNI 1.1.0, "DEL").
func del(ctx context.Context, c *Conf, args *skel.CmdArgs) error {
	unlock, err := lock(ctx, c.RunDir, TunName(args.ContainerID, args.IfName))
	if err != nil {
		return err
	}
	defer unlock()
	return c.end(ctx, args)
}

// end ends an attachment: the interface first, so that its addresses are
// nobody's when they are released. If it stays, so do they, as it may still have
// them. A lease is given back over the interface, and so before.
func (c *Conf) end(ctx context.Context, args *skel.CmdArgs) error {
	if c.leases() {
		return errors.Join(c.release(ctx, args.StdinData), c.detach(ctx, args))
	}
	if err := c.detach(ctx, args); err != nil {
		return err
	}
	return c.release(ctx, args.StdinData)
}

// gc ends the attachments of this network that the runtime does not know, and
// goes on at errors (CNI 1.1.0, "GC").
func gc(ctx context.Context, c *Conf, args *skel.CmdArgs) error {
	all, err := c.attachments(ctx)
	if err != nil {
		return err
	}
	valid := map[string]bool{}
	for _, a := range c.ValidAttachments {
		valid[TunName(a.ContainerID, a.IfName)] = true
	}
	var failed error
	for _, a := range all {
		if a.GetAttachment().GetNetwork() == c.Name && !valid[a.Name] {
			failed = errors.Join(failed, c.collect(ctx, args, a))
		}
	}
	return errors.Join(failed, c.collectRecords(ctx), c.collectAddresses(ctx, args))
}

// collect ends one attachment.
func (c *Conf) collect(ctx context.Context, args *skel.CmdArgs, a *skeinpb.AttachedTun) error {
	unlock, err := lock(ctx, c.RunDir, a.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if c.leases() {
		return errors.Join(c.releaseOf(ctx, args.StdinData, a), c.deleteTun(ctx, a.Name))
	}
	if err := c.deleteTun(ctx, a.Name); err != nil {
		return err
	}
	return c.releaseOf(ctx, args.StdinData, a)
}

// collectRecords carries out what a daemon could not be told.
func (c *Conf) collectRecords(ctx context.Context) error {
	all, failed := pending.All(c.RunDir)
	for _, r := range all {
		unlock, err := lock(ctx, c.RunDir, r.Name)
		if err == nil {
			if err = c.deleteTun(ctx, r.Name); err == nil {
				err = pending.Del(c.RunDir, r.Name)
			}
			unlock()
		}
		failed = errors.Join(failed, err)
	}
	return failed
}
