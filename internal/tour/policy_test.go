package tour_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// onlyFromA lets pod-b be reached by pod-a alone. pod-a itself has no policy.
const onlyFromA = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-a, namespace: default}
spec:
  podSelector: {matchLabels: {app: b}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}]
`

// A policy in a file holds from the first packet on, in both families: what it
// allows and the answers to it pass, all else does not, and the host of the node
// is always heard.
func TestPolicyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(onlyFromA), 0o644); err != nil {
		t.Fatal(err)
	}
	tr := newTour(t, tour.Options{Driver: "af_packet", Config: "policy: {files: [" + file + "]}\n"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tr.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []struct{ a, b, remote, node string }{
		{lab.PodAddr, lab.OtherPodAddr, lab.RemoteAddr, lab.NodeAddr},
		{lab.PodAddr6, lab.OtherPodAddr6, lab.RemoteAddr6, lab.NodeAddr6},
	} {
		for _, way := range []struct {
			from  *lab.Namespace
			to    string
			opens bool
		}{
			{tr.PodA, addr.b, true}, {tr.PodB, addr.a, false}, {tr.PodB, addr.remote, false}, {tr.Remote, addr.b, false},
			{tr.PodA, addr.remote, true}, {tr.Remote, addr.a, true}, {tr.Node, addr.b, true}, {tr.PodB, addr.node, true},
		} {
			opens(t, ctx, way.from, way.to, way.opens)
		}
	}
}

// opens checks whether pings get through, as they should or should not.
func opens(t *testing.T, ctx context.Context, from *lab.Namespace, to string, want bool) {
	t.Helper()
	wait := 300 * time.Millisecond
	if want {
		wait = 3 * time.Second
	}
	if err := from.Reaches(ctx, to, lab.Ping{Timeout: wait}); (err == nil) != want {
		t.Errorf("%s to %s: %v, want open: %v", from.Name(), to, err, want)
	}
}
