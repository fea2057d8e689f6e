package cni_test

import (
	"context"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

// newTaken is a rig whose daemon has taken the node's uplink over, with the
// real kernel around.
func newTaken(t testing.TB) (*rig, *lab.Reference) {
	t.Helper()
	l := lab.ForTest(t)
	ref, err := l.Reference(lab.Wanted{StaticRoutes: true})
	lab.Need(t, err)
	r := rigOn(t, l, ref.Node)
	r.config("uplinks: [{interface: enp0s3, driver: af_packet, host_routes: [10.244.0.0/16], confirm: {timeout: 5s}}]\n")
	r.start()
	t.Cleanup(func() { lab.Need(t, r.daemon.Signal(syscall.SIGTERM)); lab.Need(t, r.daemon.Wait()) }) // and so gives the uplink back
	return r, ref
}

// TestPortmap: a hostPort is served by Skein itself, and the real portmap plugin
// behind ours, which would serve the node's own processes, does not disturb that.
func TestPortmap(t *testing.T) {
	r, ref := newTaken(t)
	lab.Need(t, r.node.Sysctl("net.ipv4.ip_forward", "1"))
	list := r.list("1.0.0", dualStack, "", `, {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": true}}`)
	rt := runtime("web", ref.PodA)
	rt.CapabilityArgs = map[string]any{"portMappings": []map[string]any{{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}}}
	// A plugin of the host works on the namespace that it is called in.
	lab.Need(t, r.node.Do(func() error { _, err := r.cni.AddNetworkList(r.ctx, list, rt); return err }))
	listener, err := ref.PodA.ListenTCP(netip.MustParseAddrPort("0.0.0.0:80"))
	lab.Need(t, err)
	defer listener.Close()
	for from, want := range map[*lab.Namespace]bool{ref.Node: true, ref.Remote: true} {
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		c, err := from.DialTCP(ctx, netip.MustParseAddrPort(lab.NodeAddr+":8080"))
		cancel()
		if (err == nil) != want {
			t.Errorf("from %s: %v", from, err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
	lab.Need(t, r.node.Do(func() error { return r.cni.DelNetworkList(r.ctx, list, rt) }))
	r.nothingLeft(ref.PodA)
}
