package cni

import (
	"errors"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
)

// FuzzParse gives the reader of configurations whatever may be on stdin. What
// is refused has a code.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"cniVersion": "1.1.0", "name": "pods", "type": "skein-cni", "mtu": 1400, "sysctls": {"net.core.somaxconn": "1"},
		"runtimeConfig": {"portMappings": [{"hostPort": 80, "containerPort": 80}], "bandwidth": {"ingressRate": 1000}, "io.kubernetes.cri.pod-annotations": {"kubernetes.io/egress-bandwidth": "1M"}},
		"prevResult": {"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.1/24"}]}, "ipam": {"type": "host-local"}}`))
	f.Add([]byte(`{"args": {"cni": {"mac": "x"}}, "ipMasq": null, "cni.dev/valid-attachments": [{}]}`))
	f.Fuzz(func(t *testing.T, stdin []byte) {
		for _, strict := range []bool{false, true} {
			c, err := parse(stdin, strict)
			if err == nil {
				_, err = c.portMappings()
				_, e := c.bandwidth()
				_, e2 := c.previous(stdin)
				err = errors.Join(err, e, e2)
			}
			var coded *types.Error
			if err != nil && !errors.As(err, &coded) {
				t.Errorf("no code: %v", err)
			}
		}
	})
}

func FuzzPodArgs(f *testing.F) {
	f.Add("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=1;IP=10.0.0.1")
	f.Add("MAC=02:00:00:00:00:01;;=")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := podArgs(text)
		if err != nil && coded(err).Code == codeFailed {
			t.Errorf("no code: %v", err)
		}
		if w != nil && w.Name == "" {
			t.Error("a pod without a name")
		}
	})
}

// TestTunName: the name is what daemons and plugins of other versions derive,
// too: it may not change.
func TestTunName(t *testing.T) {
	if got, want := TunName("pod", "eth0"), "skein3548ebc708"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
