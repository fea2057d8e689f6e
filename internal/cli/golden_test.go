package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

// answers are the lines that print something, each with its golden file.
var answers = map[string]string{
	"show version":                "show-version",
	"show interface":              "show-interface",
	"show interface tap0":         "show-interface-one",
	"show interface addr":         "show-interface-addr",
	"show interface features":     "show-interface-features",
	"show hardware-interfaces":    "show-hardware-interfaces",
	"show interface rx-placement": "show-interface-rx-placement",
	"show dhcp proxy":             "show-dhcp-proxy",
	"show threads":                "show-threads",
	"show runtime":                "show-runtime",
	"show errors":                 "show-errors",
	"show errors all":             "show-errors-all",
	"show trace":                  "show-trace",
	"show trace max 1":            "show-trace-max",
	"show buffers":                "show-buffers",
	"show pods":                   "show-pods",
	"show cni":                    "show-cni",
	"show deny":                   "show-deny",
	"show policy":                 "show-policy",
	"show policy default/web":     "show-policy-endpoint",
	"show policy default/client":  "show-policy-none",
	"show policy alarms":          "show-policy-alarms",
	"show acl":                    "show-acl",
	"show sessions":               "show-sessions",
	"show services":               "show-services",
	"show service default/web":    "show-service",
	"show nat44 sessions":         "show-nat44-sessions",
	"show nat66 sessions":         "show-nat66-sessions",
	"show nat44 addresses":        "show-nat44-addresses",
	"show nat66 addresses":        "show-nat66-addresses",
	"show nat44 summary":          "show-nat44-summary",
	"service apply /dev/null":     "service-apply",
	"show sessions count":         "show-sessions-count",
	"explain trace 1":             "explain",
	"clear sessions":              "clear-sessions",
	"policy apply /dev/null":      "policy-apply",
	"show graph":                  "show-graph",
	"show graph --dot":            "show-graph-dot",
	"show node ip4-input":         "show-node",
	"show node acl":               "show-node-feature",
	"show ip fib":                 "show-ip-fib",
	"show ip fib 10.2.3.4":        "show-ip-fib-address",
	"show ip fib 10.2.0.0/16":     "show-ip-fib-prefix",
	"show ip fib 203.0.113.1":     "show-ip-fib-none",
	"show ip neighbors":           "show-ip-neighbors",
	"show ip6 fib":                "show-ip6-fib",
	"show ip6 neighbors":          "show-ip6-neighbors",
	"ping 192.0.2.1 repeat 4":     "ping",
	"ping 192.0.2.1 size 0":       "ping-size-0",
	"help":                        "help",
	"show ip fib ?":               "help-show-ip-fib",
	"create tun tun4 netns pod4":  "create-tun",
}

func TestText(t *testing.T) {
	socket := start(t, &fake{})
	for line, name := range answers {
		t.Run(name, func(t *testing.T) {
			out, errs, rc := ctl(t, socket, "", strings.Fields(line)...)
			if rc != 0 || errs != "" {
				t.Fatalf("status %d: %s", rc, errs)
			}
			golden(t, name, out)
			for row := range strings.Lines(out) {
				if n := utf8.RuneCountInString(row); n > 121 {
					t.Errorf("%d columns wide: %s", n, row)
				}
			}
		})
	}
}

// TestTextIsNotStale fails for a golden file that no line makes.
func TestTextIsNotStale(t *testing.T) {
	made := map[string]bool{}
	for _, name := range answers {
		made[name+".txt"] = true
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !f.IsDir() && !made[f.Name()] {
			t.Errorf("testdata/%s belongs to nothing", f.Name())
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is stale (go test -update):\n--- want\n%s--- got\n%s", file, want, got)
	}
}

func TestJSON(t *testing.T) {
	socket := start(t, &fake{})
	for line, name := range answers {
		if strings.HasPrefix(name, "help") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			out, errs, rc := ctl(t, socket, "", append(strings.Fields(line), "-o", "json")...)
			if rc != 0 || errs != "" {
				t.Fatalf("status %d: %s", rc, errs)
			}
			values := 0
			for d := json.NewDecoder(strings.NewReader(out)); ; values++ {
				var v map[string]any
				if err := d.Decode(&v); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%v in:\n%s", err, out)
				}
			}
			want := 1
			if strings.HasPrefix(name, "ping") {
				want = 4 // one on each line
			}
			if values != want {
				t.Errorf("%d JSON values, want %d:\n%s", values, want, out)
			}
		})
	}
}
