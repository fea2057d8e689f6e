package tour_test

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// hasRedirects reports whether the host has the table that leads its own
// processes to NodePorts.
func (w *servicesWorld) hasRedirects() (bool, error) {
	out, err := w.Node.Exec(w.ctx, "nft", "list", "tables")
	return strings.Contains(string(out), "table inet skein\n"), err
}

func (w *servicesWorld) redirects() error {
	there, err := w.hasRedirects()
	if err == nil && !there {
		err = errors.New("there is no table")
	}
	return err
}

func (w *servicesWorld) noRedirects() error {
	there, err := w.hasRedirects()
	if err == nil && there {
		err = errors.New("there is a table")
	}
	return err
}

const ports3 = "  ports: [{name: t, protocol: TCP, port: 80, nodePort: %d}, {name: u, protocol: UDP, port: 80, nodePort: %[1]d}, {name: s, protocol: SCTP, port: 80, nodePort: %[1]d}]"

// nodePorts are services with NodePorts: of a pod here, of another node, with a
// Local policy and nobody here, and without endpoints.
func nodePorts() string {
	return twoFamilies("here", "10.96.0.1", "2001:db8:96::1", "  type: NodePort\n"+fmt.Sprintf(ports3, 30001), here, here6, 8080) +
		twoFamilies("there", "10.96.0.2", "2001:db8:96::2", "  type: NodePort\n"+ports(30002), there, there6, 8080) +
		twoFamilies("local", "10.96.0.3", "2001:db8:96::3", "  type: NodePort\n  externalTrafficPolicy: Local\n"+ports(30003), there, there6, 8080) +
		twoFamilies("empty", "10.96.0.4", "2001:db8:96::4", "  type: NodePort\n"+ports(30004), "", "", 8080) +
		twoFamilies("host", "10.97.0.5", "2001:db8:97::5", "  type: NodePort\n"+ports(30005), endpoint(lab.NodeAddr, "node"), endpoint(lab.NodeAddr6, "node"), 8081) +
		twoFamilies("talk", "10.96.0.7", "2001:db8:96::7", "  type: NodePort\n"+ports(30007), here, here6, 8082)
}

// deleteNodePorts deletes them.
func (w *servicesWorld) deleteNodePorts(c *api.Client) error {
	var all []string
	for _, name := range []string{"here", "there", "local", "empty", "host", "talk"} {
		all = append(all, "Service default/"+name, "EndpointSlice default/"+name+"-ipv4", "EndpointSlice default/"+name+"-ipv6")
	}
	_, err := c.DeleteServices(w.ctx, &skeinpb.DeleteServicesRequest{Objects: all})
	return err
}

// The node's own processes reach its NodePorts and hostPorts by its addresses,
// and the host is as it was when nothing of that is left, however that came.
func TestNodePortsFromHost(t *testing.T) {
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, twoFamilies("web", "10.96.0.9", "2001:db8:96::9", "  type: ClusterIP\n"+ports80, here, here6, 8080))
	w.tell(t, w.PodB, "b", 8080)
	w.tell(t, w.Second, "second", 8080)
	w.tell(t, w.Node, "node", 8081)
	lab.Need(t, w.noRedirects())
	w.apply(t, w.client(t), nodePorts())
	w.eventually(t, "NodePorts come", w.redirects)
	w.fromHost(t)
	t.Run("SCTP", func(t *testing.T) {
		for i, a := range []struct{ node, want string }{{lab.NodeAddr, "b " + lab.NodeAddr}, {lab.NodeAddr6, "b " + lab.NodeAddr6}} {
			openSCTP(t, w.PodB, i == 1).serve(t, "b", 8080)
			got, err := openSCTP(t, w.Node, i == 1).ask(netip.AddrPortFrom(netip.MustParseAddr(a.node), 30001), 5000)
			if err != nil || !strings.HasPrefix(got, a.want+" port ") { // another one, where there are several workers
				t.Errorf("%q, %v; want %q", got, err, a.want)
			}
		}
	})
	w.hostPortFromHost(t)
	w.redirectsSurvive(t)
	if t.Failed() {
		t.Log(w.Log())
	}
}

// fromHost asks all of them.
func (w *servicesWorld) fromHost(t *testing.T) {
	t.Helper()
	for _, a := range []string{lab.NodeAddr, lab.NodeAddr6} {
		at := func(port uint16) string { return netip.AddrPortFrom(netip.MustParseAddr(a), port).String() }
		t.Run(familyOf(a), func(t *testing.T) {
			w.wants(t, w.Node, at(30001), "b "+a)
			w.wants(t, w.Node, at(30002), "second "+a)
			w.wants(t, w.Node, at(30003), "second "+a)
			w.refuses(t, w.Node, at(30004), true)
			w.refuses(t, w.Node, at(30006), true) // nobody's
			// Its ClusterIP has a route of its own, which comes a moment later.
			w.eventually(t, "the host asks itself", func() error {
				got, err := w.ask(w.Node, "tcp", at(30005))
				if err == nil && !strings.HasPrefix(got, "node ") {
					err = fmt.Errorf("%q", got)
				}
				return err
			})
			w.wants(t, w.Node, at(8081), "node "+a) // its own, as ever
			w.wants(t, w.Remote, at(30001), "b "+map[string]string{lab.NodeAddr: lab.RemoteAddr, lab.NodeAddr6: lab.RemoteAddr6}[a])
		})
	}
}

// hostPortFromHost asks a pod by a port of the node. The table goes with the
// last port of either kind.
func (w *servicesWorld) hostPortFromHost(t *testing.T) {
	t.Helper()
	c := w.client(t)
	pod := w.Add(t, "pod-c")
	w.tell(t, pod, "c", 8080)
	m, err := c.CreateTun(w.ctx, &skeinpb.CreateTunRequest{Netns: pod.Path(), Addresses: []string{"10.244.0.9/32", "2001:db8:244::9/128"},
		Attachment: &skeinpb.Attachment{ContainerId: "c1", PortMappings: []*skeinpb.PortMapping{
			{HostPort: 8088, ContainerPort: 8080, Protocol: "tcp"}, {HostPort: 8088, ContainerPort: 8080, Protocol: "udp"},
			{HostPort: 8089, ContainerPort: 8080, Protocol: "tcp", HostIp: lab.NodeAddr}}}})
	lab.Need(t, err)
	for _, x := range [][2]string{{lab.NodeAddr + ":8088", "c " + lab.NodeAddr}, {"[" + lab.NodeAddr6 + "]:8088", "c " + lab.NodeAddr6}, {lab.NodeAddr + ":8089", "c " + lab.NodeAddr}} {
		w.eventually(t, "hostPort "+x[0], func() error {
			got, err := w.ask(w.Node, "tcp", x[0])
			if err == nil && got != x[1] {
				err = fmt.Errorf("%q", got)
			}
			return err
		})
	}
	if _, err := w.ask(w.Node, "tcp", "["+lab.NodeAddr6+"]:8089"); err == nil {
		t.Error("a hostPort of one address is at another")
	}
	lab.Need(t, w.deleteNodePorts(c))
	time.Sleep(100 * time.Millisecond)
	lab.Need(t, w.redirects())
	_, err = c.DeleteInterface(w.ctx, &skeinpb.DeleteInterfaceRequest{Name: m.Interface.Name})
	lab.Need(t, err)
	w.eventually(t, "the last port goes", w.noRedirects)
}

// redirectsSurvive replaces, stops and kills the daemon.
func (w *servicesWorld) redirectsSurvive(t *testing.T) {
	t.Helper()
	w.apply(t, w.client(t), nodePorts())
	w.eventually(t, "NodePorts come again", w.redirects)
	var talks []*lab.Talk
	for at, by := range map[string]string{lab.OtherPodAddr + ":8082": lab.NodeAddr + ":30007", "[" + lab.OtherPodAddr6 + "]:8082": "[" + lab.NodeAddr6 + "]:30007"} {
		talk, err := lab.StartTalkBy(w.ctx, w.Node, w.PodB, netip.MustParseAddrPort(at), netip.MustParseAddrPort(by))
		lab.Need(t, err)
		talks = append(talks, talk)
	}
	lab.Need(t, w.Upgrade(w.ctx))
	lab.Need(t, w.redirects())
	for _, talk := range talks {
		before := talk.Rounds()
		w.eventually(t, "a connection goes on", func() error {
			if n := talk.Rounds() - before; n < 20 {
				return fmt.Errorf("%d answers since", n)
			}
			return nil
		})
		lab.Need(t, talk.Stop())
	}
	w.fromHost(t)
	lab.Need(t, w.Stop(w.ctx))
	lab.Need(t, w.noRedirects())

	lab.Need(t, w.Start(w.ctx))
	w.eventually(t, "NodePorts are remembered", w.redirects)
	w.fromHost(t)
	lab.Need(t, w.KillAll(w.ctx))
	lab.Need(t, w.redirects())
	_, err := w.Node.Exec(w.ctx, filepath.Join(bin, "skeind"), "restore", "--config", w.Config)
	lab.Need(t, err)
	lab.Need(t, w.noRedirects())
}
