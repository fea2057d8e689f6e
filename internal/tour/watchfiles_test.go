package tour_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// Files of services and of policy that change hold without a reload: new ones,
// changed ones, those put in the place of others, and those that go. One with an
// error changes nothing, and that is said.
func TestFilesAreFollowed(t *testing.T) {
	dir := t.TempDir()
	services, policies := filepath.Join(dir, "services"), filepath.Join(dir, "policy")
	for _, d := range []string{services, policies} {
		lab.Need(t, os.Mkdir(d, 0o755))
	}
	put := func(name, text string) {
		t.Helper()
		lab.Need(t, os.WriteFile(name+".new", []byte(text), 0o644)) // not read: no YAML by its name
		lab.Need(t, os.Rename(name+".new", name))
	}
	single := filepath.Join(dir, "single.yaml")
	web := func(end, end6 string) string {
		return twoFamilies("web", "10.96.0.1", "2001:db8:96::1", "  type: ClusterIP\n"+ports80, end, end6, 8080)
	}
	other := twoFamilies("other", "10.96.0.2", "2001:db8:96::2", "  type: ClusterIP\n"+ports80, here, here6, 8080)
	put(single, "")
	w := startServices(t, tour.Options{Wanted: lab.Wanted{Second: true}, Config: fmt.Sprintf(
		"routes: [blackhole %s, blackhole %s]\npolicy: {files: [%s]}\nservices: {files: [%s, %s], cidrs: [10.96.0.0/16, '2001:db8:96::/112']}\n",
		lab.PodBlock, lab.PodBlock6, policies, services, single)})
	w.tell(t, w.PodB, "b", 8080)
	w.tell(t, w.Second, "second", 8080)
	answers := func(when, vip, vip6, want string) {
		t.Helper()
		for addr, pod := range map[string]string{vip + ":80": lab.PodAddr, "[" + vip6 + "]:80": lab.PodAddr6} {
			w.eventually(t, when+": "+addr, func() error {
				got, err := w.askFor(w.PodA, "tcp", addr, 300e6)
				if want == "" && err != nil || want != "" && err == nil && got == want+" "+pod {
					return nil
				}
				return fmt.Errorf("%q, %w; want %q", got, err, want)
			})
		}
	}
	says := func(words []string, want string, there bool) {
		t.Helper()
		w.eventually(t, strings.Join(words, " "), func() error {
			out, err := w.Node.Exec(w.ctx, filepath.Join(bin, "skeinctl"), append([]string{"--socket", w.Socket}, words...)...)
			if err == nil && strings.Contains(string(out), want) != there {
				return errors.New(string(out))
			}
			return err
		})
	}
	showServices, showAlarms := []string{"show", "services"}, []string{"show", "policy", "alarms"}
	file := filepath.Join(services, "web.yaml")
	put(file, web(here, here6))
	answers("a new file", "10.96.0.1", "2001:db8:96::1", "b")
	put(file, web(there, there6))
	answers("a changed file", "10.96.0.1", "2001:db8:96::1", "second")
	put(single, other)
	answers("a file that is named", "10.96.0.2", "2001:db8:96::2", "b")
	put(file, "kind: Odd\n")
	says(showServices, "what was read before stays in force", true)
	answers("a file with an error", "10.96.0.1", "2001:db8:96::1", "second")
	put(file, web(here, here6)+other) // the other file has these
	says(showServices, "default/other in "+single+": exists already in "+file, true)
	answers("a file with what another has", "10.96.0.1", "2001:db8:96::1", "second")
	put(single, "")
	answers("moved to another file", "10.96.0.2", "2001:db8:96::2", "b")
	answers("and what came with it", "10.96.0.1", "2001:db8:96::1", "b")
	says(showServices, "stays in force", false)
	if _, err := w.client(t).ApplyServices(w.ctx, &skeinpb.ApplyServicesRequest{Name: "x", Text: []byte(other)}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a service of a file is applied: %v", err)
	}
	lab.Need(t, os.Remove(file))
	answers("a file that is gone", "10.96.0.1", "2001:db8:96::1", "")
	answers("and the other service", "10.96.0.2", "2001:db8:96::2", "")
	put(file, web(here, here6))
	answers("again", "10.96.0.1", "2001:db8:96::1", "b")

	const closed = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: default}
spec: {podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: %s}}}]}]}
`
	rule := filepath.Join(policies, "closed.yaml")
	put(rule, fmt.Sprintf(closed, "c"))
	answers("a new policy", "10.96.0.1", "2001:db8:96::1", "")
	put(rule, fmt.Sprintf(closed, "a"))
	answers("a changed policy", "10.96.0.1", "2001:db8:96::1", "b")
	put(rule, fmt.Sprintf(closed, "[c"))
	says(showAlarms, "what was read before stays in force", true)
	answers("a policy with an error", "10.96.0.1", "2001:db8:96::1", "b")
	put(rule, fmt.Sprintf(closed, "c"))
	answers("another policy", "10.96.0.1", "2001:db8:96::1", "")
	says(showAlarms, "stays in force", false)
	lab.Need(t, os.Rename(rule, filepath.Join(policies, "moved.yaml")))
	says([]string{"show", "policy"}, "closed", true)
	answers("a policy in another file", "10.96.0.1", "2001:db8:96::1", "")
	lab.Need(t, os.RemoveAll(policies))
	says(showAlarms, "what was read before stays in force", true)
	lab.Need(t, os.Mkdir(policies, 0o755))
	answers("without policy again", "10.96.0.1", "2001:db8:96::1", "b")
	lab.Need(t, w.Upgrade(w.ctx))
	answers("after an upgrade", "10.96.0.1", "2001:db8:96::1", "b")
}
