package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) ipCmd() *cobra.Command {
	return group("ip", "Change routes and neighbors",
		group("route", "Change routes",
			e.routeCmd("add", "Add a route", func(ctx context.Context, c *api.Client, r *skeinpb.Route) error {
				return e.addRoute(ctx, c, r, false)
			}),
			e.routeCmd("replace", "Add a route, in place of one that is there", func(ctx context.Context, c *api.Client, r *skeinpb.Route) error {
				return e.addRoute(ctx, c, r, true)
			}),
			e.routeCmd("del", "Delete the route that fits all that is said", func(ctx context.Context, c *api.Client, r *skeinpb.Route) error {
				m, err := c.DeleteRoute(ctx, &skeinpb.DeleteRouteRequest{Route: r})
				if err != nil {
					return err
				}
				return e.done(m)
			})),
		group("neighbor", "Change neighbors", e.neighborAddCmd(), e.neighborDelCmd()))
}

func (e *env) routeCmd(verb, short string, do func(context.Context, *api.Client, *skeinpb.Route) error) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " [type] <prefix> [via <address>] [dev <interface>] [metric <n>] [nexthop ... weight <n>]...",
		Short: short,
		Long:  short + ", written as for ip route.",
		Args:  between(1, -1),
		// After the prefix; a type before it shifts the pairs by one.
		ValidArgsFunction: e.completeRoute,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRoute(args)
			if err == nil && verb != "del" {
				err = addable(r)
			}
			if err != nil {
				return usagef("ip route %s: %w", verb, err)
			}
			return e.call(cmd, func(ctx context.Context, c *api.Client) error { return do(ctx, c, r) })
		},
	}
}

func (e *env) addRoute(ctx context.Context, c *api.Client, r *skeinpb.Route, replace bool) error {
	m, err := c.AddRoute(ctx, &skeinpb.AddRouteRequest{Route: r, Replace: replace})
	if err != nil {
		return err
	}
	return e.done(m)
}

func (e *env) neighborAddCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "add <address> <mac> dev <interface>",
		Short:             "Set a neighbor's link address for good",
		Args:              between(4, 4),
		ValidArgsFunction: sequence(nothing, nothing, oneOf("dev"), e.interfaceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &skeinpb.AddNeighborRequest{}
			if err := parseNeighbor(args[0], args[2:], &req.Ip, &req.Interface); err != nil {
				return usagef("ip neighbor add: %w", err)
			}
			mac, err := parseMAC(args[1])
			if err != nil {
				return usagef("ip neighbor add: %w", err)
			}
			req.Mac = mac.String()
			return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) { return c.AddNeighbor(ctx, req) })
		},
	}
}

func (e *env) neighborDelCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "del <address> [<mac>] dev <interface>",
		Short: "Forget a neighbor's link address",
		// The link address may stand there, so that the line that was added
		// can be used again; there is one neighbor of that address anyway.
		Args:              between(3, 4),
		ValidArgsFunction: sequence(nothing, oneOf("dev"), e.interfaceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 4 {
				if _, err := parseMAC(args[1]); err != nil {
					return usagef("ip neighbor del: %w", err)
				}
			}
			req := &skeinpb.DeleteNeighborRequest{}
			if err := parseNeighbor(args[0], args[len(args)-2:], &req.Ip, &req.Interface); err != nil {
				return usagef("ip neighbor del: %w", err)
			}
			return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) { return c.DeleteNeighbor(ctx, req) })
		},
	}
}

// parseNeighbor reads ADDRESS and "dev NAME".
func parseNeighbor(addr string, rest []string, ip, dev *string) error {
	a, err := parseAddr(addr)
	if err != nil {
		return err
	}
	*ip = a.String()
	return pairs(rest, pair{word: "dev", set: text(dev)})
}
