package cni_test

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// TestVeth: a pod with an Ethernet device reaches those with TUNs, and the
// world, and the other way; it outlives the daemon, and its DEL needs none.
func TestVeth(t *testing.T) {
	r, ref := newTaken(t)
	list := r.list("1.1.0", dualStack, "", "")
	ether := runtime("a", ref.PodA)
	ether.CapabilityArgs = map[string]any{"io.kubernetes.cri.pod-annotations": map[string]string{"skein.dev/interface-type": "veth"}}
	inNode := func(f func() error) { t.Helper(); lab.Need(t, r.node.Do(f)) }
	resA := r.add(list, ether)
	resB := r.add(list, runtime("b", ref.PodB))
	if mac := resA.Interfaces[0].Mac; len(mac) != 17 {
		t.Errorf("MAC %q", mac)
	}
	for _, a := range r.attachments() {
		if want := map[string]string{"a": "veth", "b": "tun"}[a.Attachment.ContainerId]; a.Type != want {
			t.Errorf("%s is a %q, want %s", a.Attachment.ContainerId, a.Type, want)
		}
	}
	all := func() {
		t.Helper()
		for _, ip := range resB.IPs {
			lab.Need(t, ref.PodA.Reaches(r.ctx, ip.Address.IP.String(), ping()))
		}
		for _, ip := range resA.IPs {
			lab.Need(t, ref.PodB.Reaches(r.ctx, ip.Address.IP.String(), ping()))
		}
		lab.Need(t, ref.PodA.Reaches(r.ctx, lab.RemoteAddr, ping()))
		lab.Need(t, ref.Node.Reaches(r.ctx, resA.IPs[0].Address.IP.String(), ping()))
	}
	all()
	transfer := lab.Transfer{From: ref.PodA, To: ref.PodB, Addr: netip.AddrPortFrom(netip.MustParseAddr(resB.IPs[0].Address.IP.String()), 5001), Bytes: 8 << 20}
	if _, err := transfer.Run(r.ctx); err != nil {
		t.Error(err)
	}
	// A guest that knows nothing asks: the gateway answers, and so does Skein
	// for whatever it takes for on its link.
	for _, args := range []string{"neigh flush all nud permanent", "neigh flush all"} {
		_, err := ref.PodA.Exec(r.ctx, "ip", strings.Fields(args)...)
		lab.Need(t, err)
	}
	all()
	// It may not send from another address.
	_, err := ref.PodA.Exec(r.ctx, "ip", "addr", "add", "10.99.0.1/32", "dev", "eth0")
	lab.Need(t, err)
	_, err = ref.PodA.Exec(r.ctx, "ip", "route", "add", lab.RemoteAddr, "via", "169.254.1.1", "dev", "eth0", "onlink", "src", "10.99.0.1")
	lab.Need(t, err)
	if err := ref.PodA.Reaches(r.ctx, lab.RemoteAddr, lab.Ping{Timeout: 300 * time.Millisecond}); err == nil {
		t.Error("it sends from an address that is not its own")
	}
	if n := r.dropped("ip4 source is not behind this interface"); n == 0 {
		t.Error("what was forged is not counted")
	}
	_, err = ref.PodA.Exec(r.ctx, "ip", "addr", "del", "10.99.0.1/32", "dev", "eth0") // and the route with it
	lab.Need(t, err)
	lab.Need(t, r.cni.CheckNetworkList(r.ctx, list, ether))

	r.kill(syscall.SIGKILL)
	r.start()
	all()
	lab.Need(t, r.cni.CheckNetworkList(r.ctx, list, ether))
	r.del(list, ether)
	r.nothingElse(t, ref.PodA)

	r.add(list, ether)
	r.kill(syscall.SIGKILL)
	inNode(func() error { return r.cni.DelNetworkList(r.ctx, list, ether) }) // as runtimes do, beside the pair's other side
	r.nothingElse(t, ref.PodA)
	r.start()
	r.del(list, runtime("b", ref.PodB))
	r.nothingLeft(ref.PodA, ref.PodB)
}

// nothingElse fails if the node or a pod has a link that it should not have.
func (r *rig) nothingElse(t *testing.T, pod *lab.Namespace) {
	t.Helper()
	links, err := r.node.Links()
	lab.Need(t, err)
	if text := strings.Join(links, " "); strings.Contains(text, "skein") {
		t.Errorf("the node has %s", text)
	}
	if links, err := pod.Links(); err != nil || len(links) != 0 {
		t.Errorf("%s has %v (%v)", pod, links, err)
	}
}

// dropped returns how many packets were dropped for a reason.
func (r *rig) dropped(reason string) (n uint64) {
	r.t.Helper()
	m, err := r.client().GetErrors(r.ctx, &skeinpb.GetErrorsRequest{})
	lab.Need(r.t, err)
	for _, e := range m.Errors {
		if e.Reason == reason {
			n += e.Count
		}
	}
	return n
}
