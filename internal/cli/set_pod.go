package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) setPodCmd() *cobra.Command {
	return group("pod", "Change what policy knows a pod by", &cobra.Command{
		Use:               "labels <interface> <label>=<value>|<label>-...",
		Short:             "Give a pod labels, and take others away",
		Args:              between(2, -1),
		ValidArgsFunction: sequence(e.interfaceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, word := range args[1:] {
				if key, _, has := strings.Cut(word, "="); key == "" || !has && (key == "-" || !strings.HasSuffix(key, "-")) {
					return usagef("%s: %q is neither <label>=<value> nor <label>-", path(cmd), word)
				}
			}
			return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) { return setLabels(ctx, c, args[0], args[1:]) })
		},
	})
}

// setLabels changes labels as kubectl label does.
func setLabels(ctx context.Context, c *api.Client, name string, words []string) (message, error) {
	m, err := c.ListInterfaces(ctx, &skeinpb.ListInterfacesRequest{Names: []string{name}})
	if err != nil {
		return nil, err
	}
	w := m.Interfaces[0].GetPeer().GetWorkload()
	if w == nil {
		w = &skeinpb.Workload{}
	}
	if w.Labels == nil {
		w.Labels = map[string]string{}
	}
	for _, word := range words {
		if key, value, has := strings.Cut(word, "="); has {
			w.Labels[key] = value
		} else {
			delete(w.Labels, strings.TrimSuffix(key, "-"))
		}
	}
	return c.SetWorkload(ctx, &skeinpb.SetWorkloadRequest{Interface: name, Workload: w})
}
