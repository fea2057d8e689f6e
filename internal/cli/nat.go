package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

// A natFamily is nat44 or nat66.
type natFamily struct {
	name string
	ip   string // as GetNAT calls it
	is   func(netip.Addr) bool
}

func natFamilies() []natFamily {
	return []natFamily{{"nat44", "ip4", netip.Addr.Is4}, {"nat66", "ip6", netip.Addr.Is6}}
}

const staticWords = "[tcp|udp|sctp] local <address> [<port>] external <address> [<port>]"

// natCmd makes nat44 or nat66, by which mappings and pools are changed.
func (e *env) natCmd(f natFamily) *cobra.Command {
	static := func(verb string, del bool) *cobra.Command {
		return group("static", "Mappings for good", &cobra.Command{
			Use:               "mapping " + staticWords,
			Short:             verb + " a mapping of an address, or of one port",
			Args:              between(4, 7),
			ValidArgsFunction: cycle(nil, oneOf("tcp", "udp", "sctp", "local", "external")),
			RunE: func(cmd *cobra.Command, args []string) error {
				for _, word := range args {
					if a, err := netip.ParseAddr(word); err == nil && !f.is(a) {
						return usagef("%s: %s is of another family", path(cmd), word)
					}
				}
				return e.changeNAT(cmd, &skeinpb.ChangeNATRequest{Delete: del, What: &skeinpb.ChangeNATRequest_Static{Static: strings.Join(args, " ")}})
			},
		})
	}
	pool := func(use, short string, max int, del bool) *cobra.Command {
		return &cobra.Command{
			Use:               use,
			Short:             short,
			Args:              between(1, max),
			ValidArgsFunction: sequence(nothing, oneOf("outgoing")),
			RunE: func(cmd *cobra.Command, args []string) error {
				p, err := netip.ParsePrefix(args[0])
				switch {
				case err != nil || !f.is(p.Addr()):
					return usagef("%s: %q is not a prefix of this family", path(cmd), args[0])
				case len(args) == 2 && args[1] != "outgoing":
					return usagef("%s: %q where outgoing was expected", path(cmd), args[1])
				}
				return e.changeNAT(cmd, &skeinpb.ChangeNATRequest{Delete: del,
					What: &skeinpb.ChangeNATRequest_Pool{Pool: &skeinpb.NATPool{Prefix: p.String(), Outgoing: len(args) == 2}}})
			},
		}
	}
	return group(f.name, "Change which addresses flows leave with",
		group("add", "Add", static("Add", false), pool("pool <prefix> [outgoing]", "Addresses of pods, which leave with the node's or with their own", 2, false)),
		group("del", "Delete what was added", static("Delete", true), pool("pool <prefix>", "Forget a pool", 1, true)))
}

func (e *env) changeNAT(cmd *cobra.Command, req *skeinpb.ChangeNATRequest) error {
	return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) { return c.ChangeNAT(ctx, req) })
}

func (e *env) serviceCmd() *cobra.Command {
	apply := &cobra.Command{
		Use:   "apply <file>...",
		Short: "Take Services and EndpointSlices from YAML files, - for the standard input: all that a file holds, or nothing",
		Args:  between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.call(cmd, func(ctx context.Context, c *api.Client) error {
				for _, name := range args {
					if err := e.applyServices(ctx, c, name); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	del := &cobra.Command{
		Use:               "delete service|endpointslice <namespace/name>...",
		Short:             "Delete what was applied",
		Args:              between(2, -1),
		ValidArgsFunction: sequence(oneOf("service", "endpointslice"), nothing),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := map[string]string{"service": "Service", "endpointslice": "EndpointSlice"}[strings.ToLower(args[0])]
			if kind == "" {
				return usagef("%s: %q where service or endpointslice was expected", path(cmd), args[0])
			}
			req := &skeinpb.DeleteServicesRequest{}
			for _, name := range args[1:] {
				if !strings.Contains(name, "/") {
					name = "default/" + name
				}
				req.Objects = append(req.Objects, kind+" "+name)
			}
			return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) { return c.DeleteServices(ctx, req) })
		},
	}
	return group("service", "Change which addresses stand for pods", apply, del)
}

func (e *env) applyServices(ctx context.Context, c *api.Client, name string) error {
	text, err := e.readFile(name)
	if err != nil {
		return err
	}
	m, err := c.ApplyServices(ctx, &skeinpb.ApplyServicesRequest{Name: name, Text: text})
	if err != nil {
		return err
	}
	return e.print(m, func(w *bytes.Buffer) {
		for _, name := range m.Applied {
			fmt.Fprintf(w, "%s applied\n", name)
		}
	})
}
