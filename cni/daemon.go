package cni

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control/pending"
)

// callLimit is how long the daemon may take for one call. At its start it
// attaches to all pods before it answers.
const callLimit = 15 * time.Second

// dial connects to the daemon.
func (c *Conf) dial(ctx context.Context) (*api.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return api.Dial(ctx, c.Socket, callLimit)
}

// attachments returns all that the daemon knows.
func (c *Conf) attachments(ctx context.Context) ([]*skeinpb.AttachedTun, error) {
	client, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	all, err := client.ListAttachments(ctx, &skeinpb.ListAttachmentsRequest{})
	return all.GetAttachments(), err
}

// detach ends an attachment: by the daemon or, where there is none, by deleting
// the interface, and a record for the daemon's next start.
func (c *Conf) detach(ctx context.Context, args *skel.CmdArgs) error {
	name := TunName(args.ContainerID, args.IfName)
	err := c.deleteTun(ctx, name)
	if !absent(err) {
		return err
	}
	r := pending.Record{Name: name, NetNS: args.Netns, Interface: args.IfName}
	if err := errors.Join(r.Delete(), pending.Put(c.RunDir, r)); err != nil {
		return err
	}
	// A daemon that has started meanwhile may have read the records before this
	// one was there. It listens before it reads them: one that is not to be
	// reached now has not read them yet.
	if err := c.deleteTun(ctx, name); err == nil {
		return pending.Del(c.RunDir, name)
	}
	return nil
}

// deleteTun has the daemon delete a TUN. One that is not there is no error.
func (c *Conf) deleteTun(ctx context.Context, name string) error {
	client, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.DeleteInterface(ctx, &skeinpb.DeleteInterfaceRequest{Name: name})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}
