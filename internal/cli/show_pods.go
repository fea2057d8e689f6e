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

func (e *env) showPodsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "pods",
		Short: "Pods: their interfaces and addresses",
		Args:  between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.ListInterfacesResponse, error) {
			m, err := c.ListInterfaces(ctx, &skeinpb.ListInterfacesRequest{})
			if err != nil {
				return nil, err
			}
			pods := &skeinpb.ListInterfacesResponse{}
			for _, i := range m.Interfaces {
				if i.Kind == skeinpb.InterfaceKind_INTERFACE_KIND_TUN {
					pods.Interfaces = append(pods.Interfaces, i)
				}
			}
			return pods, nil
		}, textPods),
	}
}

func textPods(w *bytes.Buffer, m *skeinpb.ListInterfacesResponse) {
	var rows [][]string
	for _, i := range m.Interfaces {
		p := i.GetPeer()
		row := []string{workloadName(p.GetWorkload()), i.Name, ifState(i), num(i.Mtu), num(i.GetDriver().GetQueues())}
		rows = append(rows, lined(row, alone(p.GetAddresses()))...)
	}
	table(w, 0, []column{{"Pod", 32, false}, {"Interface", 15, false}, {"State", 7, true}, {"MTU", 5, true}, {"Queues", 6, true}, {"Addresses", 0, false}}, rows)
}

// lined puts texts below each other, in the column after row's.
func lined(row, texts []string) (rows [][]string) {
	if len(texts) == 0 {
		return [][]string{row}
	}
	for i, text := range texts {
		if i > 0 {
			row = make([]string, len(row))
		}
		rows = append(rows, append(row, text))
	}
	return rows
}

// alone writes addresses without the length that says that they are alone.
func alone(all []string) (out []string) {
	for _, a := range all {
		a = strings.TrimSuffix(a, "/128")
		if strings.Contains(a, ".") {
			a = strings.TrimSuffix(a, "/32")
		}
		out = append(out, a)
	}
	return out
}

// workloadName names a pod as kubectl does.
func workloadName(w *skeinpb.Workload) string {
	if w.GetNamespace() == "" {
		return or(w.GetName(), "-")
	}
	return w.GetNamespace() + "/" + w.GetName()
}

func (e *env) showCNICmd() *cobra.Command {
	return &cobra.Command{
		Use:   "cni",
		Short: "What container runtimes have asked for",
		Args:  between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.ListAttachmentsResponse, error) {
			return c.ListAttachments(ctx, &skeinpb.ListAttachmentsRequest{})
		}, textCNI),
	}
}

func textCNI(w *bytes.Buffer, m *skeinpb.ListAttachmentsResponse) {
	for _, a := range m.Attachments {
		x := a.GetAttachment()
		fmt.Fprintf(w, "%s: container %s, interface %s, network %s\n", a.Name, x.GetContainerId(), a.Ifname, or(x.GetNetwork(), "-"))
		fmt.Fprintf(w, "  pod %s, %s, MTU %d, %s\n", workloadName(a.Workload), or(a.Type, "tun"), a.Mtu, or(strings.Join(alone(a.Addresses), " "), "no address"))
		fmt.Fprintf(w, "  in %s\n", a.Netns)
		if b := a.Bandwidth; b != nil {
			fmt.Fprintf(w, "  to the pod %s, from the pod %s\n", rate(b.IngressRate), rate(b.EgressRate))
		}
		for _, p := range x.GetPortMappings() {
			fmt.Fprintf(w, "  port %s/%d of %s is its port %d\n", p.Protocol, p.HostPort, or(p.HostIp, "the node"), p.ContainerPort)
		}
	}
}

// rate writes bits per second.
func rate(bits uint64) string {
	switch {
	case bits == 0:
		return "without limit"
	case bits >= 1e9:
		return fmt.Sprintf("%g Gbit/s", float64(bits)/1e9)
	case bits >= 1e6:
		return fmt.Sprintf("%g Mbit/s", float64(bits)/1e6)
	}
	return fmt.Sprintf("%g kbit/s", float64(bits)/1e3)
}
