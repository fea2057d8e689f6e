package cni_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// A rig is a node with a daemon, and the client library of runtimes.
type rig struct {
	*lab.Lab
	t      testing.TB
	ctx    context.Context
	node   *lab.Namespace
	dir    string // run_dir, IPAM's data, the library's cache
	daemon *lab.Process
	cni    *libcni.CNIConfig
}

func newRig(t testing.TB) *rig {
	t.Helper()
	l := lab.ForTest(t)
	node, err := l.Namespace("node")
	lab.Need(t, err)
	r := rigOn(t, l, node)
	r.start()
	return r
}

// rigOn prepares a rig without starting its daemon.
func rigOn(t testing.TB, l *lab.Lab, node *lab.Namespace) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "skein") // t.TempDir is too long for a socket's path
	lab.Need(t, err)
	t.Cleanup(func() { lab.Need(t, os.RemoveAll(dir)) }) // which fails where a namespace is left
	// Not the test's own, which ends before the daemon has given back what it
	// has taken.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	r := &rig{Lab: l, t: t, ctx: ctx, node: node, dir: dir}
	r.cni = libcni.NewCNIConfigWithCacheDir([]string{os.Getenv(envBin)}, filepath.Join(dir, "cache"), nil)
	r.config("")
	return r
}

func (r *rig) socket() string { return filepath.Join(r.dir, "api.sock") }

// config writes the daemon's configuration.
func (r *rig) config(more string) {
	r.t.Helper()
	text := fmt.Sprintf("run_dir: %s/run\napi: {socket: %s}\nbuffers: {small: 4096, large: 256}\n%s", r.dir, r.socket(), more)
	lab.Need(r.t, os.WriteFile(filepath.Join(r.dir, "skeind.yaml"), []byte(text), 0o600))
}

// start starts the daemon, and waits until it is ready.
func (r *rig) start() {
	r.t.Helper()
	var err error
	r.daemon, err = r.node.Start(r.ctx, filepath.Join(os.Getenv(envBin), "skeind"), "daemon", "--config", filepath.Join(r.dir, "skeind.yaml"))
	lab.Need(r.t, err)
	r.eventually("the daemon is ready", func() bool {
		select {
		case <-r.daemon.Done():
			r.t.Fatalf("the daemon has ended:\n%s", r.daemon.Output())
		default:
		}
		return strings.Contains(r.daemon.Output(), "ready")
	})
}

func (r *rig) kill(sig syscall.Signal) {
	r.t.Helper()
	lab.Need(r.t, r.daemon.Signal(sig))
	_ = r.daemon.Wait() // it was killed
}

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not after 30 s: %s\n%s", what, r.daemon.Output())
		}
	}
}

func (r *rig) client() *api.Client {
	r.t.Helper()
	c, err := api.Dial(r.ctx, r.socket(), 0)
	lab.Need(r.t, err)
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// attachments returns what the daemon knows.
func (r *rig) attachments() []*skeinpb.AttachedTun {
	r.t.Helper()
	m, err := r.client().ListAttachments(r.ctx, &skeinpb.ListAttachmentsRequest{})
	lab.Need(r.t, err)
	return m.Attachments
}

// pod makes a pod's namespace.
func (r *rig) pod(name string) *lab.Namespace {
	r.t.Helper()
	n, err := r.Namespace(name)
	lab.Need(r.t, err)
	return n
}

// dualStack is host-local's part of a configuration, for both families.
const dualStack = `{"type": "host-local", "dataDir": "DIR/ipam",
	"ranges": [[{"subnet": "10.244.0.0/22"}], [{"subnet": "2001:db8:244::/64"}]],
	"routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.96.0.0/12", "mtu": 1300}]}`

// list is a configuration of one network. more are further keys of skein-cni,
// each with a comma after it; chained are further plugins, with one before.
func (r *rig) list(version, ipam, more, chained string) *libcni.NetworkConfigList {
	r.t.Helper()
	text := fmt.Sprintf(`{"cniVersion": %q, "name": "pods", "plugins": [
		{"type": "skein-cni", %s "socket": %q, "runDir": "DIR/run", "capabilities":
			{"portMappings": true, "bandwidth": true, "ips": true, "mac": true, "dns": true, "io.kubernetes.cri.pod-annotations": true},
		 "dns": {"nameservers": ["10.96.0.10"]}, "ipam": %s}%s]}`, version, more, r.socket(), ipam, chained)
	conf, err := libcni.ConfListFromBytes([]byte(strings.ReplaceAll(text, "DIR", r.dir)))
	lab.Need(r.t, err)
	return conf
}

// runtime is what a runtime says of one container.
func runtime(id string, pod *lab.Namespace) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{ContainerID: id, NetNS: pod.Path(), IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", id}, {"K8S_POD_UID", "uid-" + id}}}
}

func (r *rig) add(list *libcni.NetworkConfigList, rt *libcni.RuntimeConf) *current.Result {
	r.t.Helper()
	res, err := r.cni.AddNetworkList(r.ctx, list, rt)
	if err != nil {
		r.t.Fatalf("ADD: %v\n%s", err, r.daemon.Output())
	}
	out, err := current.NewResultFromResult(res)
	lab.Need(r.t, err)
	return out
}

func (r *rig) del(list *libcni.NetworkConfigList, rt *libcni.RuntimeConf) {
	r.t.Helper()
	lab.Need(r.t, r.cni.DelNetworkList(r.ctx, list, rt))
}

// nothingLeft fails if anything of attachments is left: at the daemon, in the
// pods given, at IPAM or in the run directory.
func (r *rig) nothingLeft(pods ...*lab.Namespace) {
	r.t.Helper()
	if all := r.attachments(); len(all) != 0 {
		r.t.Errorf("left at the daemon: %v", all)
	}
	for _, p := range pods {
		if links, err := p.Links(); err != nil || len(links) != 0 {
			r.t.Errorf("left in %s: %v (%v)", p, links, err)
		}
	}
	if left := r.reserved(); len(left) != 0 {
		r.t.Errorf("left at IPAM: %v", left)
	}
	for _, sub := range []string{"locks", "ended"} {
		if left, _ := filepath.Glob(filepath.Join(r.dir, "run/cni", sub, "*")); len(left) != 0 {
			r.t.Errorf("left: %v", left)
		}
	}
}

// reserved returns the addresses that host-local has given away.
func (r *rig) reserved() (out []string) {
	all, _ := filepath.Glob(filepath.Join(r.dir, "ipam/pods/*"))
	for _, path := range all {
		if name := filepath.Base(path); name != "lock" && !strings.HasPrefix(name, "last_reserved_ip") {
			out = append(out, name)
		}
	}
	return out
}

// refused checks an error's code.
func refused(t testing.TB, what string, err error, code uint) {
	t.Helper()
	var e *types.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v (%T), want code %d", what, err, err, code)
		return
	}
	t.Logf("%s: %v", what, err)
}
