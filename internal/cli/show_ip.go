package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

// showFIBCmd is of "show ip" or "show ip6".
func (e *env) showFIBCmd(family skeinpb.Family) *cobra.Command {
	return &cobra.Command{
		Use:   "fib [prefix|address]",
		Short: "Routes: all, one prefix, or the one that packets to an address take",
		Args: func(cmd *cobra.Command, args []string) error {
			if _, err := routeFilter(family, args); err != nil {
				return err
			}
			return between(0, 1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.callFor(cmd, 0, func(ctx context.Context, c *api.Client) error {
				m, err := listRoutes(ctx, c, family, args)
				if err != nil {
					return err
				}
				return e.print(m, func(w *bytes.Buffer) { textRoutes(w, m) })
			})
		},
	}
}

// word is how a family is called in a command.
func word(f skeinpb.Family) string {
	if f == skeinpb.Family_FAMILY_IP6 {
		return "ip6"
	}
	return "ip"
}

func routeFilter(family skeinpb.Family, args []string) (*skeinpb.ListRoutesRequest, error) {
	req := &skeinpb.ListRoutesRequest{Family: family}
	if len(args) == 0 {
		return req, nil
	}
	if addr, err := netip.ParseAddr(args[0]); err == nil {
		if addr.Is6() != (family == skeinpb.Family_FAMILY_IP6) {
			return nil, usagef("show %s fib: %s is of the other family", word(family), addr)
		}
		req.Filter = &skeinpb.ListRoutesRequest_Address{Address: addr.String()}
		return req, nil
	}
	like := netip.IPv4Unspecified()
	if family == skeinpb.Family_FAMILY_IP6 {
		like = netip.IPv6Unspecified()
	}
	p, err := parsePrefix(args[0], like)
	if err != nil {
		return nil, usagef("show %s fib: %w", word(family), err)
	}
	if p.Addr().Is6() != like.Is6() {
		return nil, usagef("show %s fib: %s is of the other family", word(family), p)
	}
	req.Filter = &skeinpb.ListRoutesRequest_Prefix{Prefix: p.String()}
	return req, nil
}

// listRoutes puts the parts of the table together.
func listRoutes(ctx context.Context, c *api.Client, family skeinpb.Family, args []string) (*skeinpb.ListRoutesResponse, error) {
	req, err := routeFilter(family, args)
	if err != nil {
		return nil, err
	}
	parts, err := c.ListRoutes(ctx, req)
	if err != nil {
		return nil, err
	}
	all := &skeinpb.ListRoutesResponse{}
	for {
		part, err := parts.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all.Routes = append(all.Routes, part.Routes...)
	}
}

func textRoutes(w *bytes.Buffer, m *skeinpb.ListRoutesResponse) {
	if len(m.Routes) == 0 {
		fmt.Fprintf(w, "No route\n")
	}
	last := ""
	for _, r := range m.Routes {
		if r.Prefix != last {
			fmt.Fprintf(w, "%s\n", r.Prefix)
			last = r.Prefix
		}
		best := ""
		if r.Best {
			best = ", best"
		}
		fmt.Fprintf(w, "  %s from %s, metric %d%s\n", enum(r.Type, "ROUTE_TYPE_"), or(r.Source, "nobody"), r.Metric, best)
		for _, h := range r.NextHops {
			fmt.Fprintf(w, "    path: %s\n", nextHop(h))
		}
		if len(r.Adjacencies) > 0 {
			fmt.Fprintf(w, "    forwarding:\n")
		}
		for i, a := range r.Adjacencies {
			fmt.Fprintf(w, "      [%d] %s\n", i, or(a.Description, a.Kind))
		}
	}
}

func nextHop(h *skeinpb.NextHop) string {
	var s []string
	if h.Via != "" {
		s = append(s, "via "+h.Via)
	}
	if h.Interface != "" {
		s = append(s, "dev "+h.Interface)
	}
	if h.Weight > 1 {
		s = append(s, fmt.Sprintf("weight %d", h.Weight))
	}
	return strings.Join(s, " ")
}

// showNeighborsCmd is of "show ip" or "show ip6".
func (e *env) showNeighborsCmd(family skeinpb.Family) *cobra.Command {
	return &cobra.Command{
		Use:               "neighbors [interface]",
		Short:             "Link addresses of neighbors; S: static, D: dynamic",
		Args:              between(0, 1),
		ValidArgsFunction: sequence(e.interfaceNames),
		RunE: ask(e, func(ctx context.Context, c *api.Client, args []string) (*skeinpb.ListNeighborsResponse, error) {
			return c.ListNeighbors(ctx, &skeinpb.ListNeighborsRequest{Interface: strings.Join(args, ""), Family: family})
		}, textNeighbors),
	}
}

func textNeighbors(w *bytes.Buffer, m *skeinpb.ListNeighborsResponse) {
	rows := make([][]string, len(m.Neighbors))
	for i, n := range m.Neighbors {
		age, flags := "-", "S"
		if !n.Static {
			flags = "D"
			if n.Age != nil {
				age = fmt.Sprintf("%.4f", n.Age.AsDuration().Seconds())
			}
		}
		rows[i] = []string{age, n.Ip, flags, or(n.Mac, "-"), n.Interface, enum(n.State, "NEIGHBOR_STATE_")}
	}
	table(w, 0, []column{{"Age", 12, true}, {"IP", 24, true}, {"Flags", 0, true}, {"Ethernet", 17, false},
		{"Interface", 16, false}, {"State", 0, false}}, rows)
}
