package service_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/service"
)

// As kubectl get node -o yaml writes it, shortened in the lists.
const aNode = `---
apiVersion: v1
kind: Node
metadata:
  name: node-b
  labels: {kubernetes.io/hostname: node-b}
  annotations: {node.alpha.kubernetes.io/ttl: "0"}
spec: {podCIDR: 10.1.1.0/24, podCIDRs: [10.1.1.0/24], taints: []}
status:
  addresses:
  - {type: ExternalIP, address: 203.0.113.2}
  - {type: Hostname, address: node-b}
  - {type: InternalIP, address: 192.0.2.2}
  - {type: InternalIP, address: "2001:db8::2"}
  capacity: {cpu: "4"}
  conditions: [{type: Ready, status: "True"}]
  nodeInfo: {kernelVersion: 6.1.0}
`

func TestParseNode(t *testing.T) {
	o := parse(t, aNode)
	want := []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("203.0.113.2")}
	if len(o.Nodes) != 1 || o.Nodes[0].Name != "node-b" || !slices.Equal(o.Nodes[0].Addrs, want) {
		t.Errorf("%+v", o.Nodes)
	}
}

// svcDirect asks for direct server return.
func svcDirect(mode string) string {
	return strings.Replace(svc("a", old, "type: NodePort, clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30080}]"),
		"{name: a,", "{name: a, annotations: {"+mode+"},", 1)
}

// Whose address a backend's packets are sent to: that of its node if it is
// elsewhere, the service asks for it, and it is known.
func TestDirect(t *testing.T) {
	table := service.NewTable(world)
	set(t, table, aNode)
	set(t, table, svcDirect("skein-dataplane.github.io/forwarding-mode: dsr"))
	set(t, table, eps("a-1", "a", "{port: 8080}", "{addresses: [10.1.0.1], nodeName: node-a}, {addresses: [10.1.1.2], nodeName: node-b}, {addresses: [10.1.2.3], nodeName: node-c}"))
	nodes := func() (out string, dsr bool) {
		t.Helper()
		f := commit(t, table).Find(&nat.FrontKey{Addr: nat.Addr4(0xc0000201), Port: 30080, Proto: hdr.ProtoTCP})
		for _, b := range f.Service.All {
			out += " " + strings.TrimPrefix(b.Node.String(), "::ffff:")
		}
		return out, f.Returns()
	}
	peers := func() (out []string) {
		for _, a := range table.Peers().All() {
			out = append(out, a.Addr().Unmap().String())
		}
		return out
	}
	b := []string{"192.0.2.2", "203.0.113.2", "2001:db8::2"}
	if got, dsr := nodes(); got != " :: 192.0.2.2 ::" || !dsr || !slices.Equal(peers(), b) {
		t.Errorf("%q, %v, peers %v", got, dsr, peers())
	}
	expectAlarms(t, table, `default/a: endpoint 10.1.2.3 is on node "node-c", of which no Node with an address of that family is known`)
	was := table.Peers()
	table.SetWorld(world)
	if commit(t, table); table.Peers() != was {
		t.Error("peers that are the same are others")
	}
	set(t, table, strings.NewReplacer("node-b", "node-c", ".2}", ".3}", "::2", "::3").Replace(aNode))
	set(t, table, strings.NewReplacer("node-b", "node-a", ".2}", ".1}", "::2", "::1").Replace(aNode))
	if got, _ := nodes(); got != " :: 192.0.2.2 192.0.2.3" || len(peers()) != 6 {
		t.Errorf("another node: %q, peers %v", got, peers())
	}
	expectAlarms(t, table)
	table.DeleteNode("node-b")
	table.DeleteNode("nobody")
	if got, _ := nodes(); got != " :: :: 192.0.2.3" || len(peers()) != 3 || len(table.Nodes()) != 6 {
		t.Errorf("a node less: %q, peers %v", got, peers())
	}
	set(t, table, svcDirect("skein.dev/forwarding-mode: snat"))
	if got, dsr := nodes(); got != " :: :: ::" || dsr || table.Peers() != nil {
		t.Errorf("not direct: %q, %v, peers %v", got, dsr, peers())
	}
	expectAlarms(t, table)
	set(t, table, svcDirect("skein.dev/forwarding-mode: dsr"))
	if commit(t, table); table.Peers() == nil {
		t.Error("direct again: no peers")
	}
	table.DeleteService("default/a")
	if commit(t, table); table.Peers() != nil {
		t.Error("deleted: peers")
	}
}
