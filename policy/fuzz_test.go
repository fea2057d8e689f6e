package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/policy/resource"
)

// FuzzEngine: whatever Parse lets through can be compiled, explained and shown,
// and taken back.
func FuzzEngine(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "resource/testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte("apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: x, labels: {app: web}}\nspec: {node: n, interfaceName: '*', ports: [{name: a, protocol: TCP, port: 1}]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := resource.Parse("fuzz", text)
		if err != nil {
			return
		}
		e := policy.New(policy.Options{Node: "n"})
		set(t, e, "a/web 10.0.0.1 fd00::1 app=web http=tcp:80", "default/front 10.0.0.2 app=frontend", "policy-demo/nginx 10.0.0.3 app=nginx")
		if err := e.Replace("fuzz", file.Resources...); err != nil {
			if !errors.Is(err, policy.ErrConflict) {
				t.Fatal(err)
			}
			return
		}
		commit(t, e)
		e.Alarms()
		for _, end := range e.Endpoints() {
			if _, err := e.Show(end.ID); err != nil {
				t.Fatal(err)
			}
			for d := range policy.PreDNAT + 1 {
				k := acl.Key{Proto: hdr.ProtoTCP, DstPort: 80}
				if x, err := e.Explain(end.ID, d, &k); err != nil || x.Text == "" {
					t.Fatal(x, err)
				}
			}
		}
		if err := e.Replace("fuzz"); err != nil {
			t.Fatal(err)
		}
		commit(t, e)
		for _, end := range e.Endpoints() {
			if end.Host || end.From != nil || end.To != nil {
				t.Fatalf("%s has rules without resources", end.ID)
			}
		}
	})
}
