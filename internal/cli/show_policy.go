package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) showPolicyCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "policy [<endpoint>|alarms]",
		Short:             "Policies and who has them; of an endpoint: its rules in their order, and their hits",
		Args:              between(0, 1),
		ValidArgsFunction: sequence(either(oneOf("alarms"), e.endpointNames)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.call(cmd, func(ctx context.Context, c *api.Client) error {
				if len(args) == 1 && args[0] != "alarms" {
					m, err := c.ListEndpoints(ctx, &skeinpb.ListEndpointsRequest{Name: args[0]})
					if err != nil {
						return err
					}
					return e.print(m, func(w *bytes.Buffer) { textEndpoints(w, m, args[0]) })
				}
				return e.showPolicies(ctx, c, len(args) == 1)
			})
		},
	}
}

func (e *env) showPolicies(ctx context.Context, c *api.Client, alarmsOnly bool) error {
	m, err := c.ListPolicy(ctx, &skeinpb.ListPolicyRequest{})
	if err != nil {
		return err
	}
	if alarmsOnly {
		return e.print(m, func(w *bytes.Buffer) { textAlarms(w, m) })
	}
	ends, err := c.ListEndpoints(ctx, &skeinpb.ListEndpointsRequest{})
	if err != nil {
		return err
	}
	return e.print(m, func(w *bytes.Buffer) { textPolicies(w, m, ends) })
}

func textPolicies(w *bytes.Buffer, m *skeinpb.ListPolicyResponse, ends *skeinpb.ListEndpointsResponse) {
	if !m.Active {
		fmt.Fprintf(w, "No policy: access lists apart, everything passes. Apply some: policy apply <file>\n")
		return
	}
	fmt.Fprintf(w, "generation %d\n\n", m.Generation)
	rows := make([][]string, len(m.Resources))
	for i, r := range m.Resources {
		rows[i] = []string{r.Ref.Kind, refWords(r.Ref), or(r.Ref.Group, "core"), r.Source}
	}
	table(w, 0, []column{{"Kind", 14, false}, {"Name", 24, false}, {"Group", 18, false}, {"Source", 6, false}}, rows)
	rows = nil
	for _, x := range ends.GetEndpoints() {
		rows = append(rows, []string{x.Name, x.Interface, or(gateSummary(x), "-"), strings.Join(x.Addresses, " ")})
	}
	fmt.Fprintf(w, "\n")
	table(w, 0, []column{{"Endpoint", 24, false}, {"Interface", 10, false}, {"Rules", 24, false}, {"Addresses", 0, false}}, rows)
	if n := len(m.Alarms); n > 0 {
		fmt.Fprintf(w, "\nAlarms: %d, see show policy alarms\n", n)
	}
}

// gateSummary says how many rules there are at each gate of an endpoint.
func gateSummary(x *skeinpb.PolicyEndpoint) string {
	if x.Closed {
		return "closed"
	}
	var words []string
	for _, g := range x.Gates {
		n := 0
		for _, t := range g.Tiers {
			for _, p := range t.Policies {
				n += len(p.Rules)
			}
		}
		words = append(words, fmt.Sprintf("%s %d", g.Name, n))
	}
	return strings.Join(words, ", ")
}

func textAlarms(w *bytes.Buffer, m *skeinpb.ListPolicyResponse) {
	if len(m.Alarms) == 0 {
		fmt.Fprintf(w, "No alarms: everything is done as asked\n")
	}
	for _, a := range m.Alarms {
		fmt.Fprintf(w, "%s\n", alarmWords(a))
	}
}

func textEndpoints(w *bytes.Buffer, m *skeinpb.ListEndpointsResponse, name string) {
	if len(m.Endpoints) == 0 {
		fmt.Fprintf(w, "Policy has no say at %s\n", name)
	}
	for i, x := range m.Endpoints {
		if i > 0 {
			fmt.Fprintf(w, "\n")
		}
		textEndpoint(w, x)
	}
}

func textEndpoint(w *bytes.Buffer, x *skeinpb.PolicyEndpoint) {
	fmt.Fprintf(w, "%s, %s %s\n", x.Name, x.Interface, strings.Join(x.Addresses, " "))
	if len(x.Labels) > 0 {
		var labels []string
		for _, k := range slices.Sorted(maps.Keys(x.Labels)) {
			labels = append(labels, k+"="+x.Labels[k])
		}
		fmt.Fprintf(w, "  labels %s\n", strings.Join(labels, ", "))
	}
	switch {
	case x.Closed:
		fmt.Fprintf(w, "  closed: its policy could not be worked out, and nothing passes\n")
	case len(x.Gates) == 0:
		fmt.Fprintf(w, "  no policy selects it: everything passes\n")
	}
	for _, g := range x.Gates {
		fmt.Fprintf(w, "  %s\n", g.Name)
		for _, t := range g.Tiers {
			textTier(w, t)
		}
	}
}

// textTier writes a tier's rules, with their hits in a column of their own.
func textTier(w *bytes.Buffer, t *skeinpb.PolicyTier) {
	name := "tier " + t.Name
	if t.Name == "" {
		name = "profiles"
	}
	fmt.Fprintf(w, "    %s\n", name)
	for _, p := range t.Policies {
		order := ""
		if p.Order != nil {
			order = fmt.Sprintf(", order %g", *p.Order)
		}
		kind := ""
		if p.Ref != nil {
			kind = p.Ref.Kind + " "
		}
		fmt.Fprintf(w, "      %s%s%s\n", kind, p.Name, order)
		for _, r := range p.Rules {
			fmt.Fprintf(w, "  %12d hits  rule %d: %s\n", r.Hits, r.Number, r.Text)
		}
	}
	fmt.Fprintf(w, "  %12d hits  no rule matched: %s\n", t.Hits, t.DefaultAction)
}

func (e *env) showACLCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "acl [<interface>]",
		Short:             "Rules as packets meet them, by interface, and their hits",
		Args:              between(0, 1),
		ValidArgsFunction: sequence(e.interfaceNames),
		RunE: ask(e, func(ctx context.Context, c *api.Client, args []string) (*skeinpb.ListEndpointsResponse, error) {
			return c.ListEndpoints(ctx, &skeinpb.ListEndpointsRequest{Name: strings.Join(args, "")})
		}, textACL),
	}
}

func textACL(w *bytes.Buffer, m *skeinpb.ListEndpointsResponse) {
	var rows [][]string
	for _, x := range m.Endpoints {
		for _, g := range x.Gates {
			for _, t := range g.Tiers {
				for _, p := range t.Policies {
					for _, r := range p.Rules {
						rows = append(rows, []string{x.Interface, g.Name, num(r.Hits), fmt.Sprintf("%s %d", p.Name, r.Number), r.Text})
					}
				}
				rows = append(rows, []string{x.Interface, g.Name, num(t.Hits), or(t.Name, "profiles"), t.DefaultAction})
			}
		}
	}
	table(w, 0, []column{{"Interface", 10, false}, {"Gate", 8, false}, {"Hits", 8, true}, {"Rule", 20, false}, {"What it does", 0, false}}, rows)
}

func textExplain(w *bytes.Buffer, m *skeinpb.ExplainResponse) {
	fmt.Fprintf(w, "%s\n", m.Packet)
	for _, s := range m.Steps {
		fmt.Fprintf(w, "  %s: %s\n", s.What, s.Text)
	}
	fmt.Fprintf(w, "  %s\n", m.Verdict)
}
