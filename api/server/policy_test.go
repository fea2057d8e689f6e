package server

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/skein-dataplane/skein/api"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
)

const networkPolicies = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: default}
spec: {podSelector: {matchLabels: {app: web}}}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: default}
spec: {selector: app == 'db', tier: security}
`

// policies returns what there is, on one line.
func policies(t *testing.T, c *api.Client) string {
	t.Helper()
	var all []string
	for _, r := range need[*pb.ListPolicyResponse](t)(c.ListPolicy(t.Context(), &pb.ListPolicyRequest{})).Resources {
		all = append(all, r.Ref.Kind+" "+r.Ref.Namespace+"/"+r.Ref.Name+" "+filepath.Base(r.Source))
	}
	return strings.Join(all, ", ")
}

// policyDaemon is a daemon without interfaces whose configuration has a policy.
// It ends with stop.
func policyDaemon(t *testing.T, dir string) (c *api.Client, stop func()) {
	t.Helper()
	cfg := config(t)
	cfg.RunDir, cfg.Policy.Files, cfg.Sessions.Capacity = dir, []string{filepath.Join(dir, "policy.d")}, 1024
	ctl, err := control.New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- ctl.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	serve(t, cfg, ctl)
	return dial(t, cfg), func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestPolicyResources: what is applied holds as a whole or not at all, says whose
// it is, and is there again after a restart.
func TestPolicyResources(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "policy.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "policy.d", "set.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: office}\nspec: {nets: [192.0.2.0/24]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, stop := policyDaemon(t, dir)
	ctx := t.Context()
	put := func(text string) (*pb.ApplyPolicyResponse, error) {
		return c.ApplyPolicy(ctx, &pb.ApplyPolicyRequest{Name: "x.yaml", Text: []byte(text)})
	}
	del := func(refs ...*pb.PolicyRef) error {
		_, err := c.DeletePolicy(ctx, &pb.DeletePolicyRequest{Refs: refs})
		return err
	}
	m := need[*pb.ApplyPolicyResponse](t)(put(networkPolicies))
	if len(m.Applied) != 2 {
		t.Errorf("applied: %v", m)
	}
	both := "GlobalNetworkSet /office set.yaml, NetworkPolicy default/db api, NetworkPolicy default/web api"
	if got := policies(t, c); got != both {
		t.Errorf("%q, want %q", got, both)
	}
	if a := need[*pb.ListPolicyResponse](t)(c.ListPolicy(ctx, &pb.ListPolicyRequest{})).Alarms; len(a) != 1 || a[0].What != "there is no Tier security: it is asked after all others" {
		t.Errorf("alarms: %v", a)
	}
	_, err := put(strings.Replace(networkPolicies, "app == 'db'", "app === 'db'", 1))
	if err == nil || !strings.Contains(err.Error(), "x.yaml:9:24 (document 2): spec.selector") {
		t.Errorf("a selector that can't be read: %v", err)
	}
	_, err = put(strings.ReplaceAll(networkPolicies, "app: web}}}", "app: web}}}\n---\n"+networkPolicies))
	if err == nil {
		t.Error("a policy that is there twice is taken")
	}
	_, err = put("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: office}\n")
	refused(t, err, codes.AlreadyExists, "exists already: GlobalNetworkSet office: from api: "+file+" has one already: conflict")
	refused(t, del(&pb.PolicyRef{Kind: "globalnetworkset", Name: "office"}), codes.FailedPrecondition, "the configuration has GlobalNetworkSet office, in "+file)
	web := &pb.PolicyRef{Kind: "networkpolicy", Namespace: "default", Name: "web"}
	refused(t, del(web, &pb.PolicyRef{Kind: "NetworkPolicy", Namespace: "other", Name: "web"}), codes.NotFound, "NetworkPolicy other/web: not found")
	if got := policies(t, c); got != both {
		t.Errorf("after what was refused: %q, want %q", got, both)
	}
	if err := del(web); err != nil {
		t.Error(err)
	}
	need[*pb.ApplyPolicyResponse](t)(put(strings.Replace(networkPolicies[strings.Index(networkPolicies, "---"):], ", tier: security", "", 1)))
	stop()
	c, stop = policyDaemon(t, dir)
	defer stop()
	if got, want := policies(t, c), "GlobalNetworkSet /office set.yaml, NetworkPolicy default/db api"; got != want {
		t.Errorf("after a restart: %q, want %q", got, want)
	}
	if a := need[*pb.ListPolicyResponse](t)(c.ListPolicy(ctx, &pb.ListPolicyRequest{})).Alarms; len(a) != 0 {
		t.Errorf("alarms: %v", a)
	}
}

// TestNoPolicy: without any there are no sessions and no endpoints, and questions
// have answers.
func TestNoPolicy(t *testing.T) {
	c, _ := daemon(t)
	ctx := t.Context()
	parts := need[pb.Skein_ListSessionsClient](t)(c.ListSessions(ctx, &pb.ListSessionsRequest{}))
	m, err := parts.Recv()
	if err != nil || m.Stats.Capacity != 0 || len(m.Sessions) > 0 {
		t.Errorf("sessions: %v, %v", m, err)
	}
	if _, err := parts.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("another part: %v", err)
	}
	if m := need[*pb.ClearSessionsResponse](t)(c.ClearSessions(ctx, &pb.ClearSessionsRequest{})); m.Cleared != 0 {
		t.Errorf("cleared: %v", m)
	}
	if m := need[*pb.ListEndpointsResponse](t)(c.ListEndpoints(ctx, &pb.ListEndpointsRequest{})); len(m.Endpoints) > 0 {
		t.Errorf("endpoints: %v", m)
	}
	_, err = c.ListEndpoints(ctx, &pb.ListEndpointsRequest{Name: "default/web"})
	refused(t, err, codes.NotFound, `interface or endpoint "default/web": not found`)
	explain := func(line string) error {
		_, err := c.Explain(ctx, &pb.ExplainRequest{Packet: &pb.ExplainRequest_Line{Line: line}})
		return err
	}
	refused(t, explain("10.0.0.1 > 203.0.113.1: udp 1 > 2"), codes.InvalidArgument, "10.0.0.1 is behind no interface: say which one it comes in by")
	if err := explain("nonsense"); err == nil {
		t.Error("nonsense is explained")
	}
	_, err = c.Explain(ctx, &pb.ExplainRequest{Packet: &pb.ExplainRequest_Trace{Trace: 7}})
	refused(t, err, codes.NotFound, "traced packet 7")
	_, err = c.SetWorkload(ctx, &pb.SetWorkloadRequest{Interface: "tun9", Workload: &pb.Workload{Name: "x"}})
	refused(t, err, codes.NotFound, `interface "tun9": not found`)
	if _, err := c.ClearSessions(ctx, &pb.ClearSessionsRequest{Filter: &pb.SessionFilter{Protocol: "carrier pigeon"}}); err == nil {
		t.Error("a protocol that there is not")
	}
}
