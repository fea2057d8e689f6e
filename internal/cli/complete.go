package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

// completeWait is the longest that the tab key waits for the daemon.
const completeWait = 500 * time.Millisecond

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// An arg gives the words that may stand in one place.
type arg func() []string

func nothing() []string { return nil }

func oneOf(words ...string) arg { return func() []string { return words } }

func either(a, b arg) arg { return func() []string { return slices.Concat(a(), b()) } }

// sequence completes one arg after the other.
func sequence(args ...arg) completion {
	return func(_ *cobra.Command, before []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(before) < len(args) {
			return fitting(args[len(before)], begun), cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// cycle completes first, and then again in turn, without end.
func cycle(first []arg, again ...arg) completion {
	return func(_ *cobra.Command, before []string, begun string) ([]string, cobra.ShellCompDirective) {
		a := again[max(0, len(before)-len(first))%len(again)]
		if len(before) < len(first) {
			a = first[len(before)]
		}
		return fitting(a, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeRoute knows the words of parseRoute.
func (e *env) completeRoute(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	next := oneOf("via", "dev", "metric", "weight", "nexthop")
	switch {
	case len(args) == 0:
		next = oneOf("default", "blackhole", "unreachable", "prohibit", "local", "punt", "unicast")
	case routeTypes[args[len(args)-1]] != 0:
		next = oneOf("default")
	case args[len(args)-1] == "dev":
		next = e.interfaceNames
	case slices.Contains([]string{"via", "metric", "weight"}, args[len(args)-1]):
		next = nothing
	}
	return fitting(next, begun), cobra.ShellCompDirectiveNoFileComp
}

func fitting(a arg, begun string) (fit []string) {
	for _, w := range a() {
		if strings.HasPrefix(w, begun) {
			fit = append(fit, w)
		}
	}
	return fit
}

// names asks the daemon for names. Without an answer there are none: a person
// at the tab key wants no message.
func (e *env) names(ask func(context.Context, *api.Client) ([]string, error)) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completeWait)
	defer cancel()
	c, err := e.dial(ctx, e.opts)
	if err != nil {
		return nil
	}
	names, err := ask(ctx, c)
	if err != nil {
		return nil
	}
	return names
}

func (e *env) interfaceNames() []string {
	return e.names(func(ctx context.Context, c *api.Client) (names []string, err error) {
		m, err := c.ListInterfaces(ctx, &skeinpb.ListInterfacesRequest{})
		for _, i := range m.GetInterfaces() {
			names = append(names, i.Name)
		}
		return names, err
	})
}

// fromGraph asks for names of the graph.
func (e *env) fromGraph(pick func(*skeinpb.GetGraphResponse) []string) []string {
	return e.names(func(ctx context.Context, c *api.Client) ([]string, error) {
		m, err := getGraph(ctx, c, nil)
		if err != nil {
			return nil, err
		}
		return pick(m), nil
	})
}

func (e *env) nodeNames() []string {
	return e.fromGraph(func(m *skeinpb.GetGraphResponse) (names []string) {
		for _, n := range m.Nodes {
			names = append(names, n.Name)
		}
		return names
	})
}

func (e *env) arcNames() []string {
	return e.fromGraph(func(m *skeinpb.GetGraphResponse) (names []string) {
		for _, a := range m.FeatureArcs {
			names = append(names, a.Name)
		}
		return names
	})
}

func (e *env) featureNames() []string {
	return e.fromGraph(func(m *skeinpb.GetGraphResponse) (names []string) {
		for _, a := range m.FeatureArcs {
			names = append(names, a.Features...)
		}
		slices.Sort(names)
		return slices.Compact(names)
	})
}

// candidates returns the words that may come next: begun is the one at the
// cursor, before are those in front of it.
func (s *session) candidates(before []string, begun string) []string {
	cmd, args := walk(s.newRoot(nil), before)
	if cmd == nil {
		return nil
	}
	fit := fitting(func() []string { return childNames(cmd) }, begun)
	if len(args) > 0 {
		fit = nil // past the point where cmd's parts may stand
	}
	if cmd.ValidArgsFunction != nil {
		more, _ := cmd.ValidArgsFunction(cmd, args, begun)
		fit = append(fit, more...)
	}
	slices.Sort(fit)
	return slices.Compact(fit)
}

// walk returns the command that line leads to, and its arguments among them;
// nil if it leads nowhere.
func walk(root *cobra.Command, line []string) (*cobra.Command, []string) {
	cmd := root
	var args []string
	for i := 0; i < len(line); i++ {
		if isFlag(line[i]) {
			i += flagValues(cmd, line[i])
			continue
		}
		if len(args) == 0 && cmd.HasSubCommands() {
			next, err := child(cmd, line[i])
			if err != nil {
				return nil, nil
			}
			if next != nil {
				cmd = next
				continue
			}
		}
		args = append(args, line[i])
	}
	return cmd, args
}
