package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

// longestPolicy is more than a call may carry, in bytes.
const longestPolicy = 4 << 20

func (e *env) policyCmd() *cobra.Command {
	apply := &cobra.Command{
		Use:   "apply <file>...",
		Short: "Take policies of Kubernetes and Calico from YAML files, - for the standard input: all that a file holds, or nothing",
		Args:  between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.call(cmd, func(ctx context.Context, c *api.Client) error {
				for _, name := range args {
					if err := e.applyPolicy(ctx, c, name); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	del := &cobra.Command{
		Use:               "delete <kind> <name>...",
		Short:             "Delete policies that were applied, by names such as default/web",
		Args:              between(2, -1),
		ValidArgsFunction: cycle([]arg{e.policyKinds}, e.policyNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &skeinpb.DeletePolicyRequest{}
			for _, name := range args[1:] {
				req.Refs = append(req.Refs, policyRef(args[0], name))
			}
			return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) { return c.DeletePolicy(ctx, req) })
		},
	}
	return group("policy", "Change which flows may pass", apply, del)
}

// policyRef reads a kind, with its group behind a point where there are
// several, and a name, with its namespace before a slash: "networkpolicy" and
// "default/web".
func policyRef(kind, name string) *skeinpb.PolicyRef {
	r := &skeinpb.PolicyRef{Name: name}
	r.Kind, r.Group, _ = strings.Cut(kind, ".")
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		r.Namespace, r.Name = namespace, rest
	}
	return r
}

// refWords writes a name as policyRef reads it.
func refWords(r *skeinpb.PolicyRef) string {
	if r.GetNamespace() == "" {
		return r.GetName()
	}
	return r.GetNamespace() + "/" + r.GetName()
}

func (e *env) applyPolicy(ctx context.Context, c *api.Client, name string) error {
	text, err := e.readFile(name)
	if err != nil {
		return err
	}
	m, err := c.ApplyPolicy(ctx, &skeinpb.ApplyPolicyRequest{Name: name, Text: text})
	if err != nil {
		return err
	}
	if e.opts.output == "json" {
		return e.done(m)
	}
	var w strings.Builder
	for _, r := range m.Applied {
		fmt.Fprintf(&w, "%s %s applied\n", r.Kind, refWords(r))
	}
	for _, a := range m.Alarms {
		fmt.Fprintf(&w, "alarm: %s\n", alarmWords(a))
	}
	return e.write([]byte(w.String()))
}

// readFile reads a file, or the standard input.
func (e *env) readFile(name string) ([]byte, error) {
	in := e.std.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, longestPolicy))
	if err != nil {
		return nil, fmt.Errorf("cli: read %s: %w", name, err)
	}
	if len(text) == longestPolicy {
		return nil, usageError{errors.New(name + ": longer than 4 MiB: split it")}
	}
	return text, nil
}

// alarmWords writes an alarm on two lines.
func alarmWords(a *skeinpb.PolicyAlarm) string {
	words := a.Resource
	if a.Place != "" {
		words = a.Place + ": " + words
	}
	words += "\n  "
	if a.Field != "" {
		words += a.Field + ": "
	}
	return words + a.What
}

func (e *env) policies() (all []*skeinpb.PolicyResource) {
	e.names(func(ctx context.Context, c *api.Client) ([]string, error) {
		m, err := c.ListPolicy(ctx, &skeinpb.ListPolicyRequest{})
		all = m.GetResources()
		return nil, err
	})
	return all
}

func (e *env) policyKinds() (kinds []string) {
	for _, r := range e.policies() {
		kinds = append(kinds, r.Ref.Kind)
	}
	return kinds
}

func (e *env) policyNames() (names []string) {
	for _, r := range e.policies() {
		if r.Source == "api" {
			names = append(names, refWords(r.Ref))
		}
	}
	return names
}

func (e *env) endpointNames() []string {
	return e.names(func(ctx context.Context, c *api.Client) (names []string, err error) {
		m, err := c.ListEndpoints(ctx, &skeinpb.ListEndpointsRequest{})
		for _, x := range m.GetEndpoints() {
			names = append(names, x.Name)
		}
		return names, err
	})
}

// explainCmd reads a packet, in quotes or not, or "trace <n>", and where it
// comes in.
func (e *env) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "explain <packet>|trace <n> [in <interface>]",
		Short: "What becomes of a packet, and why: explain '10.0.0.1 > 10.0.0.2: tcp 1024 > 80 flags S' in tun0",
		Args:  between(1, -1),
		RunE: ask(e, func(ctx context.Context, c *api.Client, args []string) (*skeinpb.ExplainResponse, error) {
			req, err := explainRequest(args)
			if err != nil {
				return nil, err
			}
			return c.Explain(ctx, req)
		}, textExplain),
	}
}

func explainRequest(args []string) (*skeinpb.ExplainRequest, error) {
	req := &skeinpb.ExplainRequest{}
	if n := len(args); n > 2 && args[n-2] == "in" {
		req.Interface, args = args[n-1], args[:n-2]
	}
	if args[0] != "trace" {
		req.Packet = &skeinpb.ExplainRequest_Line{Line: strings.Join(args, " ")}
		return req, nil
	}
	var n uint32
	if err := pairs(args, pair{word: "trace", set: number(&n, 1)}); err != nil {
		return nil, usagef("explain: %w", err)
	}
	req.Packet = &skeinpb.ExplainRequest_Trace{Trace: uint64(n)}
	return req, nil
}
