package tour_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// born has objects that were created at a time.
func born(when, objects string) string {
	return strings.ReplaceAll(objects, "kind: Service\nmetadata: {", "kind: Service\nmetadata: {creationTimestamp: '"+when+"', ")
}

// What is asked for and can't be is resolved by the documented rule, and said
// where people look; the rest of it is in force.
func TestServiceAlarms(t *testing.T) {
	const nobody, nobody6 = "{addresses: [203.0.113.9], nodeName: node}", "{addresses: ['2001:4860::9'], nodeName: node}"
	young := born("2025-01-01T00:00:00Z", twoFamilies("young", "10.96.0.1", "2001:db8:96::1", "  type: NodePort\n"+ports(30001), there, there6, 8080))
	old := born("2020-01-01T00:00:00Z", twoFamilies("old", "10.96.0.1", "2001:db8:96::1", "  type: NodePort\n"+ports(30001), here, here6, 8080))
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, young+old+
		twoFamilies("pods", lab.PodAddr, lab.PodAddr6, "  type: ClusterIP\n"+ports80, here, here6, 8080)+
		twoFamilies("nodes", lab.NodeAddr, lab.NodeAddr6, "  type: ClusterIP\n"+ports80, here, here6, 8080)+
		twoFamilies("lost", "10.96.0.2", "2001:db8:96::2", "  type: ClusterIP\n"+ports80, nobody+", "+here, nobody6+", "+here6, 8080))
	w.tell(t, w.PodA, "a", 80)
	w.tell(t, w.PodB, "b", 8080)
	w.tell(t, w.Second, "second", 8080)
	w.tell(t, w.Node, "node", 80)
	said := func() string {
		out, err := w.Node.Exec(w.ctx, filepath.Join(bin, "skeinctl"), "--socket", w.Socket, "show", "services")
		lab.Need(t, err)
		return string(out)
	}
	status := said()
	for _, want := range []string{
		"default/young: ClusterIP 10.96.0.1:80/TCP is default/old's, which is older: it is left out",
		"default/young: ClusterIP [2001:db8:96::1]:80/UDP is default/old's, which is older: it is left out",
		"default/young: NodePort port 30001/TCP is default/old's, which is older: it is left out",
		"default/pods: ClusterIP " + lab.PodAddr + " is a pod's: it is left out",
		"default/pods: ClusterIP " + lab.PodAddr6 + " is a pod's: it is left out",
		"default/nodes: ClusterIP " + lab.NodeAddr + " is the node's own: it is left out",
		"default/lost: endpoint 203.0.113.9 of EndpointSlice lost-ipv4 is in no prefix known: it is left out",
		"default/lost: endpoint 2001:4860::9 of EndpointSlice lost-ipv6 is in no prefix known: it is left out",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("show services does not say: %s", want)
		}
	}
	if t.Failed() {
		t.Log(status)
	}
	for _, f := range []struct{ vip, node, pod, lost, from, as string }{
		{"10.96.0.1:80", lab.NodeAddr, lab.PodAddr, "10.96.0.2:80", lab.RemoteAddr, lab.PodAddr},
		{"[2001:db8:96::1]:80", "[" + lab.NodeAddr6 + "]", "[" + lab.PodAddr6 + "]", "[2001:db8:96::2]:80", lab.RemoteAddr6, lab.PodAddr6},
	} {
		w.wants(t, w.PodA, f.vip, "b "+f.as)
		w.wants(t, w.Remote, f.node+":30001", "b "+f.from)
		w.wants(t, w.Remote, f.pod+":80", "a "+f.from)
		w.wants(t, w.Remote, f.node+":80", "node "+f.from)
		for range 8 {
			w.wants(t, w.PodA, f.lost, "b "+f.as)
		}
	}

	c := w.client(t)
	for text, want := range map[string]string{
		"apiVersion: v1\nkind: Service\nmetadata: {name: zero}\nspec: {clusterIP: 10.96.0.9, ports: [{port: 0}]}": `zero.yaml:4:45: spec.ports[0].port: expected a number from 1 to 65535, found "0"`,
		endpointSlices("web", here, here6, 0): `expected a number from 1 to 65535, found "0"`,
	} {
		_, err := c.ApplyServices(w.ctx, &skeinpb.ApplyServicesRequest{Name: "zero.yaml", Text: []byte(text)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("port 0: %v; want %s", err, want)
		}
	}
	// A younger hostPort does not take the port of a NodePort.
	pod := w.Add(t, "pod-c")
	w.tell(t, pod, "c", 8080)
	_, err := c.CreateTun(w.ctx, &skeinpb.CreateTunRequest{Netns: pod.Path(), Addresses: []string{"10.244.0.9/32", "2001:db8:244::9/128"},
		Attachment: &skeinpb.Attachment{ContainerId: "c1", PortMappings: []*skeinpb.PortMapping{{HostPort: 30001, ContainerPort: 8080, Protocol: "tcp"}}}})
	lab.Need(t, err)
	if got := said(); !strings.Contains(got, "hostPort port 30001/TCP is default/old's, which is older: it is left out") {
		t.Errorf("show services does not say that a hostPort is another's:\n%s", got)
	}
	w.wants(t, w.Remote, lab.NodeAddr+":30001", "b "+lab.RemoteAddr)
}
