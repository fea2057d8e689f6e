package cni_test

import (
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"

	"github.com/skein-dataplane/skein/internal/lab"
)

// TestBandwidthPlugin: where the real bandwidth plugin stands in a list, and
// what a runtime hears of it. It limits by qdiscs of a veth's side on the host,
// which pods have none of that the host's stack takes part in.
func TestBandwidthPlugin(t *testing.T) {
	const asks = `{"type": "bandwidth", "ingressRate": 1000000, "ingressBurst": 1000000, "egressRate": 1000000, "egressBurst": 1000000}`
	const idle = `{"type": "bandwidth", "capabilities": {"bandwidth": true}}`
	const own = `"bandwidth": {"ingressRate": 1000000}, `
	tests := map[string]struct{ before, more, after, err string }{
		"ours alone":       {more: own},
		"after ours, idle": {more: own, after: idle}, // it is not asked for anything
		"after a TUN":      {after: asks, err: "has no veth peer"},
		"after a veth":     {more: `"interfaceType": "veth", `, after: asks, err: "no veth peer of container interface found"},
		"before ours":      {before: asks, err: "must be called as chained plugin"},
	}
	r := newRig(t)
	pod := r.pod("pod")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			list := r.chain(test.before, test.more, test.after)
			rt := runtime("pod", pod)
			err := r.node.Do(func() error { _, err := r.cni.AddNetworkList(r.ctx, list, rt); return err })
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("%v, want %q", err, test.err)
			}
			lab.Need(t, r.node.Do(func() error { return r.cni.DelNetworkList(r.ctx, list, rt) }))
			r.nothingLeft(pod)
		})
	}
}

// chain is a configuration with a plugin before and one after ours; either can
// be empty.
func (r *rig) chain(before, more, after string) *libcni.NetworkConfigList {
	r.t.Helper()
	if after != "" {
		after = ", " + after
	}
	list := r.list("1.0.0", dualStack, more, after)
	if before == "" {
		return list
	}
	conf, err := libcni.ConfListFromBytes([]byte(strings.Replace(string(list.Bytes), `"plugins": [`, `"plugins": [`+before+", ", 1)))
	lab.Need(r.t, err)
	return conf
}
