package cni_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/skein-dataplane/skein/internal/lab"
)

func ping() lab.Ping { return lab.Ping{Count: 3, Timeout: time.Second} }

// TestRestart: attachments outlive a daemon, whether it stops or is killed.
func TestRestart(t *testing.T) {
	r := newRig(t)
	a, b := r.pod("a"), r.pod("b")
	list := r.list("1.1.0", dualStack, "", "")
	r.add(list, runtime("a", a))
	to := r.add(list, runtime("b", b)).IPs
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		before := r.attachments()
		r.kill(sig)
		err := r.cni.CheckNetworkList(r.ctx, list, runtime("a", a))
		refused(t, "CHECK without a daemon", err, types.ErrTryAgainLater)
		_, failed := r.run(r.conf(""), env{"CNI_COMMAND": "STATUS"})
		if failed == nil || failed.Code != 51 {
			t.Errorf("STATUS without a daemon: %v", failed)
		}
		r.start()
		if after := r.attachments(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("before\n%v\nafter\n%v", before, after)
		}
		lab.Need(t, r.cni.CheckNetworkList(r.ctx, list, runtime("a", a)))
		for _, ip := range to {
			lab.Need(t, a.Reaches(r.ctx, ip.Address.IP.String(), ping()))
		}
	}
	r.del(list, runtime("a", a))
	r.del(list, runtime("b", b))
	r.nothingLeft(a, b)
}

// TestNoDaemon: without one an ADD has to wait, and a DEL is carried out as far
// as it can be, and wholly when a daemon comes.
func TestNoDaemon(t *testing.T) {
	r := newRig(t)
	a, b := r.pod("a"), r.pod("b")
	list := r.list("1.1.0", dualStack, "", "")
	r.add(list, runtime("a", a))
	r.kill(syscall.SIGKILL)
	_, err := r.cni.AddNetworkList(r.ctx, list, runtime("b", b))
	refused(t, "ADD without a daemon", err, types.ErrTryAgainLater)
	for range 2 {
		r.del(list, runtime("a", a))
		r.del(list, runtime("b", b))
	}
	for _, p := range []*lab.Namespace{a, b} {
		if links, err := p.Links(); err != nil || len(links) != 0 {
			t.Errorf("%s has %v (%v)", p, links, err)
		}
	}
	if left := r.reserved(); len(left) != 0 {
		t.Errorf("left at IPAM: %v", left)
	}
	r.start()
	r.nothingLeft(a, b)
}

// TestKilledInAdd kills the daemon at random moments of an ADD. The ADD fails,
// and leaves nothing, or has been made and can be ended.
func TestKilledInAdd(t *testing.T) {
	r := newRig(t)
	pod := r.pod("pod")
	list := r.list("1.1.0", dualStack, "", "")
	const rounds = 30 // half a millisecond apart: an ADD takes some ten
	failures := 0
	for i := range rounds {
		done := make(chan error, 1)
		rt := runtime(fmt.Sprint("c", i), pod)
		go func() { _, err := r.cni.AddNetworkList(r.ctx, list, rt); done <- err }()
		time.Sleep(time.Duration(i) * time.Millisecond / 2)
		r.kill(syscall.SIGKILL)
		err := <-done
		if err != nil {
			failures++
			var e *types.Error
			if !errors.As(err, &e) || e.Code != types.ErrTryAgainLater {
				t.Errorf("%v", err)
			}
		}
		r.start()
		if err == nil {
			lab.Need(t, r.cni.CheckNetworkList(r.ctx, list, rt))
			r.del(list, rt)
		}
		r.nothingLeft(pod)
	}
	t.Logf("%d of %d failed", failures, rounds)
}

// TestGC: what the runtime does not know goes, also at IPAM; what it knows
// stays, and so does what belongs to another network.
func TestGC(t *testing.T) {
	r := newRig(t)
	list := r.list("1.1.0", dualStack, "", "")
	pods := map[string]*lab.Namespace{}
	for _, name := range []string{"a", "b", "c"} {
		pods[name] = r.pod(name)
		r.add(list, runtime(name, pods[name]))
	}
	// The library knows what it has added; a runtime that has lost its memory
	// calls the plugin alone.
	lab.Need(t, os.RemoveAll(filepath.Join(r.dir, "cache")))
	valid := &libcni.GCArgs{ValidAttachments: []types.GCAttachment{{ContainerID: "b", IfName: "eth0"}}}
	lab.Need(t, r.cni.GCNetworkList(r.ctx, list, valid))
	if all := r.attachments(); len(all) != 1 || all[0].Attachment.ContainerId != "b" {
		t.Errorf("left: %v", all)
	}
	if left := r.reserved(); len(left) != 2 {
		t.Errorf("left at IPAM: %v", left)
	}
	other := r.conf("")
	_, err := r.run(`{"name": "others", "cni.dev/valid-attachments": [],`+other[1:len(other)-1]+`, "name": "others"}`, env{"CNI_COMMAND": "GC"})
	if err != nil || len(r.attachments()) != 1 {
		t.Errorf("GC of another network: %v, %v", err, r.attachments())
	}
	lab.Need(t, r.cni.GCNetworkList(r.ctx, list, &libcni.GCArgs{}))
	r.nothingLeft(pods["a"], pods["b"], pods["c"])
}

// TestNamespaceGone: a pod whose namespace has lost its name is let go, and so
// the kernel can destroy the namespace.
func TestNamespaceGone(t *testing.T) {
	r := newRig(t)
	l, err := lab.New(lab.Unique("skeintest"))
	lab.Need(t, err)
	t.Cleanup(func() { lab.Finish(t, l) })
	pod, err := l.Namespace("pod")
	lab.Need(t, err)
	list := r.list("1.1.0", dualStack, "", "")
	rt := runtime("pod", pod)
	r.add(list, rt)
	lab.Need(t, l.Close())
	if n := r.tuns(); n != 1 {
		t.Errorf("the daemon has %d TUNs open, not 1", n)
	}
	r.eventually("the daemon lets go", func() bool { return len(r.attachments()) == 0 })
	if n := r.tuns(); n != 0 {
		t.Errorf("the daemon has %d TUNs open", n)
	}
	r.del(list, rt) // also where the namespace is gone
	rt.NetNS = ""
	r.del(list, rt)
	r.nothingLeft()
}

// tuns counts the TUNs that the daemon has open.
func (r *rig) tuns() (n int) {
	r.t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", r.daemon.PID()))
	lab.Need(r.t, err)
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "/dev/net/tun" {
			n++
		}
	}
	return n
}

// TestBeside: ADD and DEL of one attachment at once. Whichever is last, nothing
// is left that is half of one.
func TestBeside(t *testing.T) {
	r := newRig(t)
	pod := r.pod("pod")
	list := r.list("1.1.0", dualStack, "", "")
	rt := runtime("pod", pod)
	for range 5 {
		var wg sync.WaitGroup
		var addErr, delErr error
		wg.Go(func() { _, addErr = r.cni.AddNetworkList(r.ctx, list, rt) })
		wg.Go(func() { delErr = r.cni.DelNetworkList(r.ctx, list, rt) })
		wg.Wait()
		if addErr != nil || delErr != nil {
			t.Fatalf("ADD: %v, DEL: %v", addErr, delErr)
		}
		if all, addrs := r.attachments(), r.reserved(); len(all) == 0 && len(addrs) != 0 || len(all) == 1 && len(addrs) != 2 {
			t.Errorf("half of one: %v, %v", all, addrs)
		}
		r.del(list, rt)
		r.nothingLeft(pod)
	}
}

// TestManyAtOnce: a node that starts its pods.
func TestManyAtOnce(t *testing.T) {
	const n = 100
	r := newRig(t)
	list := r.list("1.1.0", dualStack, "", "")
	pods := make([]*lab.Namespace, n)
	for i := range pods {
		pods[i] = r.pod(fmt.Sprint("p", i))
	}
	each := func(what string, do func(*libcni.RuntimeConf) error) {
		start := time.Now()
		var wg sync.WaitGroup
		for i, p := range pods {
			wg.Go(func() {
				if err := do(runtime(fmt.Sprint("p", i), p)); err != nil {
					t.Errorf("%s of %s: %v", what, p, err)
				}
			})
		}
		wg.Wait()
		t.Logf("%d %s: %v", n, what, time.Since(start))
	}
	each("ADD", func(rt *libcni.RuntimeConf) error { _, err := r.cni.AddNetworkList(r.ctx, list, rt); return err })
	if all := r.attachments(); len(all) != n {
		t.Errorf("%d attachments", len(all))
	}
	each("DEL", func(rt *libcni.RuntimeConf) error { return r.cni.DelNetworkList(r.ctx, list, rt) })
	r.nothingLeft(pods...)
}
