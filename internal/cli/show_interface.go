package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) showInterfaceCmd() *cobra.Command {
	cmd := e.interfaces("interface [name...]", "State and counters", textInterfaces)
	cmd.Aliases = []string{"interfaces"}
	cmd.AddCommand(
		e.interfaces("addr [name...]", "Addresses", textAddresses),
		e.interfaces("features [name...]", "Features on each arc, in order", textFeatures),
		e.workers("rx-placement", "Which worker receives from which queue", textPlacement))
	return cmd
}

func (e *env) showHardwareCmd() *cobra.Command {
	return e.interfaces("hardware-interfaces [name...]", "Drivers, and why they were chosen", textHardware)
}

// interfaces makes a command that shows some side of the interfaces named, or
// of all.
func (e *env) interfaces(use, short string, text func(*bytes.Buffer, *skeinpb.ListInterfacesResponse)) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Args:              between(0, -1),
		ValidArgsFunction: cycle(nil, e.interfaceNames),
		RunE: ask(e, func(ctx context.Context, c *api.Client, args []string) (*skeinpb.ListInterfacesResponse, error) {
			return c.ListInterfaces(ctx, &skeinpb.ListInterfacesRequest{Names: args})
		}, text),
	}
}

func textInterfaces(w *bytes.Buffer, m *skeinpb.ListInterfacesResponse) {
	var rows [][]string
	for _, i := range m.Interfaces {
		row := []string{i.Name, num(i.Index), ifState(i), num(i.Mtu)}
		for _, c := range ifCounters(i.GetCounters(), i.GetDriver().GetCounters()) {
			rows = append(rows, append(row, c.name, num(c.count)))
			row = []string{"", "", "", ""}
		}
		if row[0] != "" {
			rows = append(rows, row)
		}
	}
	table(w, 0, []column{{"Name", 24, false}, {"Idx", 4, true}, {"State", 7, true}, {"MTU", 5, true},
		{"Counter", 12, false}, {"Count", 16, true}}, rows)
}

// ifState writes what was asked of i, and whether the device agrees.
func ifState(i *skeinpb.Interface) string {
	switch {
	case !i.AdminUp:
		return "down"
	case !i.LinkUp:
		return "no-link"
	default:
		return "up"
	}
}

type counter struct {
	name  string
	count uint64
}

// nonzero leaves out the counters that say nothing.
func nonzero(all ...counter) (some []counter) {
	for _, c := range all {
		if c.count > 0 {
			some = append(some, c)
		}
	}
	return some
}

// ifCounters are the interface's own, and the losses of its driver.
func ifCounters(c *skeinpb.InterfaceCounters, d *skeinpb.DriverCounters) []counter {
	return nonzero(
		counter{"rx packets", c.GetRxPackets()},
		counter{"rx bytes", c.GetRxBytes()},
		counter{"tx packets", c.GetTxPackets()},
		counter{"tx bytes", c.GetTxBytes()},
		counter{"drops", c.GetDrops()},
		counter{"tx drops", c.GetTxDrops()},
		counter{"rx missed", d.GetRxDropped()},
		counter{"rx denied", d.GetRxDenied()},
		counter{"rx limited", d.GetRxLimited()},
		counter{"rx errors", d.GetRxErrors()},
		counter{"tx errors", d.GetTxErrors()})
}

func textAddresses(w *bytes.Buffer, m *skeinpb.ListInterfacesResponse) {
	for _, i := range m.Interfaces {
		fmt.Fprintf(w, "%s (%s):\n", i.Name, ifState(i))
		for _, a := range i.Addresses {
			fmt.Fprintf(w, "  L3 %s\n", a)
		}
		for _, a := range i.GetPeer().GetAddresses() {
			fmt.Fprintf(w, "  peer %s\n", a)
		}
	}
}

func textFeatures(w *bytes.Buffer, m *skeinpb.ListInterfacesResponse) {
	for _, i := range m.Interfaces {
		fmt.Fprintf(w, "%s (%s):\n", i.Name, ifState(i))
		if len(i.Features) == 0 && i.RxLimit == nil && i.TxLimit == nil {
			fmt.Fprintf(w, "  none\n")
		}
		if i.RxLimit != nil {
			fmt.Fprintf(w, "  rate-limit in %s\n", limitWords(i.RxLimit))
		}
		if i.TxLimit != nil {
			fmt.Fprintf(w, "  rate-limit out %s\n", limitWords(i.TxLimit))
		}
		for _, arc := range i.Features {
			fmt.Fprintf(w, "  %s:\n", arc.Arc)
			for _, f := range arc.Features {
				fmt.Fprintf(w, "    %s\n", f)
			}
		}
	}
}

func textHardware(w *bytes.Buffer, m *skeinpb.ListInterfacesResponse) {
	fmt.Fprintf(w, "%-24s %4s  %4s  %s\n", "Name", "Idx", "Link", "Hardware")
	for _, i := range m.Interfaces {
		link := "down"
		if i.LinkUp {
			link = "up"
		}
		d := i.GetDriver()
		fmt.Fprintf(w, "%-24s %4d  %4s  %s\n", i.Name, i.Index, link, enum(i.Kind, "INTERFACE_KIND_"))
		if i.Mac != "" {
			fmt.Fprintf(w, "  Ethernet address %s\n", i.Mac)
		}
		if p := i.GetPeer(); p != nil {
			fmt.Fprintf(w, "  Other end %s\n", peer(p))
		}
		textDriver(w, d)
	}
}

func peer(p *skeinpb.Peer) string {
	s := p.Name
	if p.Netns != "" {
		s += " in " + p.Netns
	}
	if p.Mirrors != "" {
		s += ", mirrors " + p.Mirrors
	}
	return s
}

func textDriver(w *bytes.Buffer, d *skeinpb.Driver) {
	if d == nil {
		return
	}
	fmt.Fprintf(w, "  Driver %s\n", strings.TrimSuffix(d.Name+": "+d.Detail, ": "))
	fmt.Fprintf(w, "  Queues %d, offloads: %s\n", d.Queues, or(strings.Join(d.Offloads, " "), "none"))
	for _, c := range d.Candidates {
		verdict := "refused"
		if c.Chosen {
			verdict = "chosen"
		}
		fmt.Fprintf(w, "    %-10s %s: %s\n", c.Name, verdict, c.Reason)
	}
	for _, c := range nonzero(
		counter{"rx errors", d.GetCounters().GetRxErrors()},
		counter{"rx missed, by the kernel", d.GetCounters().GetRxDropped()},
		counter{"rx without buffer", d.GetCounters().GetRxNoBuffers()},
		counter{"rx denied, by XDP", d.GetCounters().GetRxDenied()},
		counter{"rx limited, by XDP", d.GetCounters().GetRxLimited()},
		counter{"tx errors", d.GetCounters().GetTxErrors()},
		counter{"tx without room", d.GetCounters().GetTxFull()},
		counter{"system calls", d.GetCounters().GetSyscalls()}) {
		fmt.Fprintf(w, "    %-24s %16d\n", c.name, c.count)
	}
}
