package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

// showDHCPCmd has the name that VPP gives to its relay.
func (e *env) showDHCPCmd() *cobra.Command {
	return group("dhcp", "DHCP of pods", &cobra.Command{
		Use:     "proxy",
		Aliases: []string{"relay"},
		Short:   "The relay of pods' DHCP: its server, and what each pod has asked",
		Args:    between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.GetDHCPRelayResponse, error) {
			return c.GetDHCPRelay(ctx, &skeinpb.GetDHCPRelayRequest{})
		}, textDHCPRelay),
	})
}

func textDHCPRelay(w *bytes.Buffer, m *skeinpb.GetDHCPRelayResponse) {
	if m.Server == "" {
		fmt.Fprintln(w, "There is no relay: cni.dhcp_server names no server.")
		return
	}
	fmt.Fprintf(w, "Server %s, which answers to %s and assigns from the subnet of %s\n", m.Server,
		cmp.Or(m.Address, "nobody yet"), cmp.Or(m.Subnet, "that address"))
	fmt.Fprintf(w, "%d messages from it that nobody waits for\n", m.Stray)
	var rows [][]string
	for _, l := range m.Links {
		rows = append(rows, []string{l.Interface, l.Mac, num(l.Asked), num(l.Answered), num(l.Limited), num(l.Refused), num(l.Unsent), l.Why})
	}
	table(w, 0, []column{{"Interface", 15, false}, {"Client", 17, false}, {"Asked", 8, true}, {"Answered", 8, true}, {"Too many", 8, true},
		{"Refused", 8, true}, {"Not sent", 8, true}, {"The last one not relayed", 0, false}}, rows)
}
