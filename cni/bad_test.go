package cni_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/skein-dataplane/skein/internal/lab"
)

// env is what a runtime sets for a plugin.
type env map[string]string

// run runs the plugin by itself, for what the library would not let through.
func (r *rig) run(stdin string, e env) (out []byte, failed *types.Error) {
	r.t.Helper()
	cmd := exec.CommandContext(r.ctx, filepath.Join(os.Getenv(envBin), "skein-cni"))
	cmd.Env = []string{"CNI_PATH=" + os.Getenv(envBin)}
	for k, v := range e {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stdin = strings.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	failed = new(types.Error)
	if json.Unmarshal(out, failed) != nil || failed.Code == 0 {
		r.t.Fatalf("%v: it has not said why:\n%s%s", err, out, &errs)
	}
	return out, failed
}

// conf is a configuration as the plugin reads it.
func (r *rig) conf(more string) string {
	text := fmt.Sprintf(`{"cniVersion": "1.1.0", "name": "pods", "type": "skein-cni", "socket": %q, "runDir": "DIR/run", %s "ipam": %s}`,
		r.socket(), more, dualStack)
	return strings.ReplaceAll(text, "DIR", r.dir)
}

// TestBadInput: each gets the code that says what is wrong, and leaves nothing.
func TestBadInput(t *testing.T) {
	r := newRig(t)
	pod := r.pod("pod")
	file := filepath.Join(r.dir, "file")
	lab.Need(t, os.WriteFile(file, nil, 0o600))
	with := func(changes env) env {
		e := env{"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "x", "CNI_NETNS": pod.Path(), "CNI_IFNAME": "eth0"}
		for k, v := range changes {
			e[k] = v
		}
		return e
	}
	good := r.conf("")
	without := func(key string) string {
		var m map[string]any
		lab.Need(t, json.Unmarshal([]byte(good), &m))
		delete(m, key)
		text, _ := json.Marshal(m)
		return string(text)
	}
	for _, tt := range []struct {
		what  string
		stdin string
		env   env
		code  uint
	}{
		{"a netns that is not there", good, with(env{"CNI_NETNS": "/run/netns/no-such-one"}), types.ErrUnknownContainer},
		{"a netns that is a file", good, with(env{"CNI_NETNS": file}), types.ErrInvalidEnvironmentVariables},
		{"a netns that is a directory", good, with(env{"CNI_NETNS": r.dir}), types.ErrInvalidEnvironmentVariables},
		{"a namespace of another kind", good, with(env{"CNI_NETNS": "/proc/self/ns/uts"}), types.ErrInvalidEnvironmentVariables},
		{"the node's own netns", good, with(env{"CNI_NETNS": "/proc/self/ns/net"}), types.ErrInvalidEnvironmentVariables},
		{"no netns", good, with(env{"CNI_NETNS": ""}), types.ErrInvalidEnvironmentVariables},
		{"a name that is taken", good, with(env{"CNI_IFNAME": "lo"}), types.ErrInvalidEnvironmentVariables},
		{"a name of 16", good, with(env{"CNI_IFNAME": "abcdefghijklmnop"}), types.ErrInvalidEnvironmentVariables},
		{"a name with a slash", good, with(env{"CNI_IFNAME": "a/b"}), types.ErrInvalidEnvironmentVariables},
		{"a container that is no name", good, with(env{"CNI_CONTAINERID": "../x"}), types.ErrInvalidEnvironmentVariables},
		{"an unknown verb", good, with(env{"CNI_COMMAND": "MOVE"}), types.ErrInvalidEnvironmentVariables},
		{"arguments that are none", good, with(env{"CNI_ARGS": "K8S_POD_NAME"}), types.ErrInvalidEnvironmentVariables},
		{"a MAC by arguments", good, with(env{"CNI_ARGS": "MAC=02:00:00:00:00:01"}), types.ErrUnsupportedField},
		{"nothing on stdin", "", with(nil), types.ErrDecodingFailure},
		{"garbage on stdin", "\x00\xff{", with(nil), types.ErrDecodingFailure},
		{"a list on stdin", "[]", with(nil), types.ErrDecodingFailure},
		{"text for a number", r.conf(`"mtu": "big",`), with(nil), types.ErrDecodingFailure},
		{"a word that is not known", r.conf(`"mut": 1400,`), with(nil), types.ErrUnsupportedField},
		{"a word of another IPAM plugin", r.conf(`"datastore_type": "etcdv3",`), with(nil), types.ErrUnsupportedField},
		{"masquerading", r.conf(`"ipMasq": true,`), with(nil), types.ErrUnsupportedField},
		{"a MAC by the runtime", r.conf(`"runtimeConfig": {"mac": "02:00:00:00:00:01"},`), with(nil), types.ErrUnsupportedField},
		{"a MAC by args", r.conf(`"args": {"cni": {"mac": "02:00:00:00:00:01"}},`), with(nil), types.ErrUnsupportedField},
		{"an MTU of 67", r.conf(`"mtu": 67,`), with(nil), types.ErrInvalidNetworkConfig},
		{"a sysctl of the node", r.conf(`"sysctls": {"kernel.panic": "1"},`), with(nil), types.ErrInvalidNetworkConfig},
		{"a sysctl that is not there", r.conf(`"sysctls": {"net.ipv4.no_such": "1"},`), with(nil), types.ErrInvalidNetworkConfig},
		{"a port of 0", r.conf(`"runtimeConfig": {"portMappings": [{"hostPort": 80}]},`), with(nil), types.ErrInvalidNetworkConfig},
		{"a port of no protocol", r.conf(`"runtimeConfig": {"portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}]},`), with(nil), types.ErrInvalidNetworkConfig},
		{"a rate that is none", r.conf(`"runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"kubernetes.io/ingress-bandwidth": "fast"}},`), with(nil), types.ErrInvalidNetworkConfig},
		{"a prevResult that is none", r.conf(`"prevResult": {"ips": "x"},`), with(nil), types.ErrDecodingFailure},
		{"no IPAM", without("ipam"), with(nil), types.ErrInvalidNetworkConfig},
		{"no name", without("name"), with(nil), types.ErrInvalidNetworkConfig},
		{"an IPAM plugin that is not there", strings.ReplaceAll(good, "host-local", "no-such"), with(nil), types.ErrInvalidNetworkConfig},
		{"a version of the future", strings.Replace(good, "1.1.0", "9.0.0", 1), with(nil), types.ErrIncompatibleCNIVersion},
		{"a CHECK without a result", good, with(env{"CNI_COMMAND": "CHECK"}), types.ErrInvalidNetworkConfig},
	} {
		if out, err := r.run(tt.stdin, tt.env); err == nil || err.Code != tt.code {
			t.Errorf("%s: %v (%s), want code %d", tt.what, err, out, tt.code)
		} else {
			t.Logf("%s: %d %v", tt.what, err.Code, err)
		}
	}
	r.nothingLeft(pod)
}

// TestTaken: what another pod has, no other gets.
func TestTaken(t *testing.T) {
	r := newRig(t)
	a, b := r.pod("a"), r.pod("b")
	static := func(addr string) string {
		return fmt.Sprintf(`{"type": "static", "addresses": [{"address": %q}]}`, addr)
	}
	for _, addr := range []string{"10.244.0.9/24", "2001:db8:244::9/64"} {
		list := r.list("1.1.0", static(addr), "", "")
		r.add(list, runtime("a", a))
		_, err := r.cni.AddNetworkList(r.ctx, list, runtime("b", b))
		refused(t, "an address of another pod", err, 101)
		_, err = r.cni.AddNetworkList(r.ctx, list, runtime("a", a))
		refused(t, "the same once more", err, types.ErrInvalidEnvironmentVariables)
		other := runtime("other", a)
		_, err = r.cni.AddNetworkList(r.ctx, list, other)
		refused(t, "a name that another container has", err, types.ErrInvalidEnvironmentVariables)
		r.del(list, other) // as runtimes do; it must not take a's
		if all := r.attachments(); len(all) != 1 || all[0].Attachment.ContainerId != "a" {
			t.Errorf("after the DEL of a failed ADD: %v", all)
		}
		lab.Need(t, r.cni.CheckNetworkList(r.ctx, list, runtime("a", a)))
		r.del(list, runtime("a", a))
	}
	for _, addr := range []string{"127.0.0.1/8", "224.0.0.1/4", "fe80::1/64"} {
		_, err := r.cni.AddNetworkList(r.ctx, r.list("1.1.0", static(addr), "", ""), runtime("a", a))
		refused(t, addr, err, types.ErrInvalidNetworkConfig)
	}
	r.nothingLeft(a, b)
}
