package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

type message = proto.Message

// change makes one call that changes something.
func (e *env) change(cmd *cobra.Command, call func(context.Context, *api.Client) (message, error)) error {
	return e.call(cmd, func(ctx context.Context, c *api.Client) error {
		m, err := call(ctx, c)
		if err != nil {
			return err
		}
		return e.done(m)
	})
}

func (e *env) setCmd() *cobra.Command {
	return group("set", "Change things", e.setPodCmd(), group("interface", "Change an interface",
		e.set(between(2, 2), setState, &cobra.Command{
			Use:               "state <interface> up|down",
			Short:             "Let packets through, or not",
			ValidArgsFunction: sequence(e.interfaceNames, oneOf("up", "down")),
		}),
		e.set(between(2, 2), setMTU, &cobra.Command{
			Use:               "mtu <bytes> <interface>",
			Short:             "Largest packet, without the Ethernet header",
			ValidArgsFunction: sequence(nothing, e.interfaceNames),
		}),
		group("ip", "Addresses", e.set(between(2, 3), setAddress, &cobra.Command{
			Use:               "address [del] <interface> <address/length>",
			Short:             "Add an address, or delete it",
			ValidArgsFunction: sequence(either(oneOf("del"), e.interfaceNames), e.interfaceNames),
		})),
		e.set(between(4, 5), setFeature, &cobra.Command{
			Use:               "feature <interface> <feature> arc <arc> [disable]",
			Short:             "Have packets visit a node on a feature arc, or not",
			ValidArgsFunction: sequence(e.interfaceNames, e.featureNames, oneOf("arc"), e.arcNames, oneOf("disable")),
		}),
		e.set(between(3, 6), setRateLimit, &cobra.Command{
			Use:   "rate-limit <interface> in|out (packets <n> | bandwidth <n>[k|m|g]bit) [burst <n>] | off",
			Short: "How much may come in by it, or go out, per second",
			ValidArgsFunction: sequence(e.interfaceNames, oneOf("in", "out"), oneOf("packets", "bandwidth", "off"), nothing,
				oneOf("burst")),
		}),
		e.setPlacementCmd()))
}

// set completes a command that changes an interface as read reads its words.
func (e *env) set(args cobra.PositionalArgs, read func([]string, *skeinpb.SetInterfaceRequest) error, cmd *cobra.Command) *cobra.Command {
	cmd.Args = args
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := &skeinpb.SetInterfaceRequest{}
		if err := read(args, req); err != nil {
			return usagef("%s: %w", path(cmd), err)
		}
		return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) { return c.SetInterface(ctx, req) })
	}
	return cmd
}

func setState(args []string, req *skeinpb.SetInterfaceRequest) error {
	up, err := onOff(args[1], "up", "down")
	req.Name, req.AdminUp = args[0], &up
	return err
}

func setMTU(args []string, req *skeinpb.SetInterfaceRequest) error {
	req.Name, req.Mtu = args[1], new(uint32)
	return number(req.Mtu, 68)(args[0]) // RFC 791: every IPv4 link carries 68 bytes
}

func setAddress(args []string, req *skeinpb.SetInterfaceRequest) error {
	to := &req.AddAddresses
	if len(args) == 3 {
		if args[0] != "del" {
			return fmt.Errorf("unknown word %q", args[0])
		}
		to, args = &req.RemoveAddresses, args[1:]
	}
	p, err := parseIfAddr(args[1])
	req.Name, *to = args[0], []string{p.String()}
	return err
}

func setFeature(args []string, req *skeinpb.SetInterfaceRequest) error {
	f := &skeinpb.FeatureChange{Feature: args[1], Enable: len(args) == 4}
	req.Name, req.Features = args[0], []*skeinpb.FeatureChange{f}
	if !f.Enable && args[4] != "disable" {
		return fmt.Errorf("unknown word %q", args[4])
	}
	return pairs(args[2:4], pair{word: "arc", set: text(&f.Arc)})
}

func (e *env) createCmd() *cobra.Command {
	return group("create", "Make an interface", &cobra.Command{
		Use:               "tun <name> netns <path|name> [ifname <name>] [address <address/length>]... [mtu <bytes>] [queues <n>] [offload on|off]",
		Short:             "Make a TUN to a network namespace, and what routes to it",
		Args:              between(3, -1),
		ValidArgsFunction: cycle([]arg{nothing}, oneOf("netns", "ifname", "address", "mtu", "queues", "offload"), nothing),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := parseTun(args)
			if err != nil {
				return err
			}
			return e.call(cmd, func(ctx context.Context, c *api.Client) error {
				m, err := c.CreateTun(ctx, req)
				if err != nil {
					return err
				}
				return e.print(m, func(w *bytes.Buffer) { fmt.Fprintln(w, m.GetInterface().GetName()) })
			})
		},
	})
}

func parseTun(args []string) (*skeinpb.CreateTunRequest, error) {
	req := &skeinpb.CreateTunRequest{Name: args[0]}
	err := pairs(args[1:],
		pair{word: "netns", set: text(&req.Netns)},
		pair{word: "ifname", set: text(&req.Ifname)},
		pair{word: "address", many: true, set: func(s string) error {
			p, err := parseIfAddr(s)
			req.Addresses = append(req.Addresses, p.String())
			return err
		}},
		pair{word: "mtu", set: number(&req.Mtu, 68)},
		pair{word: "queues", set: number(&req.Queues, 1)},
		pair{word: "offload", set: func(s string) error {
			on, err := onOff(s, "on", "off")
			req.Offload = &on
			return err
		}})
	if err != nil {
		return nil, usagef("create tun: %w", err)
	}
	if req.Netns == "" {
		return nil, usagef("create tun: netns missing")
	}
	if !strings.Contains(req.Netns, "/") {
		req.Netns = "/run/netns/" + req.Netns // where ip-netns(8) keeps them
	}
	return req, nil
}

func (e *env) deleteCmd() *cobra.Command {
	return group("delete", "Remove an interface", &cobra.Command{
		Use:               "interface <name>",
		Short:             "Remove an interface, its addresses and routes",
		Args:              between(1, 1),
		ValidArgsFunction: sequence(e.interfaceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) {
				return c.DeleteInterface(ctx, &skeinpb.DeleteInterfaceRequest{Name: args[0]})
			})
		},
	})
}

func (e *env) clearCmd() *cobra.Command {
	counters := func(use string, req *skeinpb.ClearCountersRequest) *cobra.Command {
		return e.clear(use, "Set counters to zero", func(ctx context.Context, c *api.Client) (message, error) {
			return c.ClearCounters(ctx, req)
		})
	}
	return group("clear", "Set counters to zero, forget traces and sessions",
		counters("interfaces", &skeinpb.ClearCountersRequest{Interfaces: true}),
		counters("runtime", &skeinpb.ClearCountersRequest{Runtime: true}),
		counters("errors", &skeinpb.ClearCountersRequest{Errors: true}),
		e.clear("trace", "Forget traces, and end those under way", func(ctx context.Context, c *api.Client) (message, error) {
			return c.ClearTrace(ctx, &skeinpb.ClearTraceRequest{})
		}),
		e.clearSessionsCmd())
}

func (e *env) clear(use, short string, call func(context.Context, *api.Client) (message, error)) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  between(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return e.change(cmd, call) },
	}
}
