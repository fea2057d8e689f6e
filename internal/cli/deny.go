package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) denyCmd() *cobra.Command {
	return group("deny", "Change what is dropped at all uplinks before anything else",
		e.denyChange("add", "Drop packets from sources", nothing, func(ctx context.Context, c *api.Client, prefixes []string) (message, error) {
			return c.AddDeny(ctx, &skeinpb.AddDenyRequest{Prefixes: prefixes})
		}),
		e.denyChange("del", "Let packets from sources pass again", e.deniedPrefixes, func(ctx context.Context, c *api.Client, prefixes []string) (message, error) {
			return c.DeleteDeny(ctx, &skeinpb.DeleteDenyRequest{Prefixes: prefixes})
		}))
}

func (e *env) denyChange(verb, short string, complete arg, call func(context.Context, *api.Client, []string) (message, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " <prefix>...",
		Short:             short,
		Args:              between(1, -1),
		ValidArgsFunction: cycle(nil, complete),
		RunE: func(cmd *cobra.Command, args []string) error {
			prefixes := make([]string, len(args))
			for i, word := range args {
				p, err := parsePrefix(word, netip.Addr{})
				if word == "default" { // of which family?
					err = fmt.Errorf("%q is not a prefix, such as 10.0.0.0/8", word)
				}
				if err != nil {
					return usagef("%s: %w", path(cmd), err)
				}
				prefixes[i] = p.String()
			}
			return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) { return call(ctx, c, prefixes) })
		},
	}
}

// deniedPrefixes are those that can be deleted.
func (e *env) deniedPrefixes() []string {
	return e.names(func(ctx context.Context, c *api.Client) (names []string, err error) {
		m, err := c.ListDeny(ctx, &skeinpb.ListDenyRequest{})
		for _, d := range m.GetEntries() {
			if d.Source == "api" {
				names = append(names, d.Prefix)
			}
		}
		return names, err
	})
}

func (e *env) showDenyCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "deny",
		Short: "Sources whose packets are dropped at all uplinks",
		Args:  between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.ListDenyResponse, error) {
			return c.ListDeny(ctx, &skeinpb.ListDenyRequest{})
		}, textDeny),
	}
}

func textDeny(w *bytes.Buffer, m *skeinpb.ListDenyResponse) {
	rows := make([][]string, len(m.Entries))
	for i, d := range m.Entries {
		rows[i] = []string{d.Prefix, d.Source}
	}
	table(w, 0, []column{{"Prefix", 24, false}, {"Source", 6, false}}, rows)
}

// setRateLimit reads <interface> in|out off, or what may pass.
func setRateLimit(args []string, req *skeinpb.SetInterfaceRequest) error {
	in, err := onOff(args[1], "in", "out")
	if err != nil {
		return err
	}
	limit := &skeinpb.RateLimit{}
	req.Name = args[0]
	if in {
		req.RxLimit = limit
	} else {
		req.TxLimit = limit
	}
	if args[2] == "off" && len(args) == 3 {
		return nil
	}
	var burst string
	err = pairs(args[2:],
		pair{word: "packets", set: quantity(&limit.Packets, packetUnits)},
		pair{word: "bandwidth", set: quantity(&limit.Bandwidth, bitUnits)},
		pair{word: "burst", set: text(&burst)})
	switch {
	case err != nil:
		return err
	case (limit.Packets == 0) == (limit.Bandwidth == 0):
		return fmt.Errorf("either packets or bandwidth was expected, or off")
	case burst == "":
		return nil
	}
	units := bitUnits
	if limit.Packets != 0 {
		units = packetUnits
	}
	if err := quantity(&limit.Burst, units)(burst); err != nil {
		return fmt.Errorf("burst: %w", err)
	}
	return nil
}

// A unit is what may stand behind a number.
type unit struct {
	name  string
	times uint64
}

// The units of tc(8): decimal, the longest first.
var (
	bitUnits    = []unit{{"tbit", 1e12}, {"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}, {"", 1}}
	packetUnits = []unit{{"k", 1e3}, {"m", 1e6}, {"", 1}}
)

// maxQuantity is more than any device gives.
const maxQuantity = 1e13

// quantity keeps a number of at least 1, with a unit behind it: 100mbit.
func quantity(to *uint64, units []unit) func(string) error {
	return func(value string) error {
		for _, u := range units {
			digits, ok := strings.CutSuffix(value, u.name)
			if !ok {
				continue
			}
			n, err := strconv.ParseUint(digits, 10, 64)
			if err != nil || n == 0 || n > maxQuantity/u.times {
				break
			}
			*to = n * u.times
			return nil
		}
		names := make([]string, 0, len(units))
		for _, u := range units[:len(units)-1] {
			names = append(names, u.name)
		}
		return fmt.Errorf("%q is not a whole number from 1 to %.0f, with or without one of %s", value, float64(maxQuantity), strings.Join(names, ", "))
	}
}

// limitWords writes a limit as set interface rate-limit takes it.
func limitWords(l *skeinpb.RateLimit) string {
	words := "packets " + num(l.Packets)
	if l.Packets == 0 {
		words = "bandwidth " + num(l.Bandwidth) + "bit"
	}
	if l.Burst != 0 {
		words += " burst " + num(l.Burst)
		if l.Packets == 0 {
			words += "bit"
		}
	}
	return words
}
