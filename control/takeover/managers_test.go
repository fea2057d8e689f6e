package takeover

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Managers are known by the files that they keep at run time.
func TestManagedBy(t *testing.T) {
	tests := []struct{ name, file, text, want string }{
		{"nobody", "", "", ""},
		{"networkd", "run/systemd/netif/links/7", "ADMIN_STATE=configured\nOPER_STATE=routable\n", "systemd-networkd: "},
		{"networkd, not this one", "run/systemd/netif/links/7", "ADMIN_STATE=unmanaged\n", ""},
		{"networkd, another link", "run/systemd/netif/links/8", "ADMIN_STATE=configured\n", ""},
		{"NetworkManager", "run/NetworkManager/devices/7", "[device]\nmanaged=true\n", "a profile of type tun for enp0s3"},
		{"NetworkManager, not this one", "run/NetworkManager/devices/7", "[device]\nmanaged=false\n", ""},
		{"ifupdown", "run/network/ifstate", "lo=lo\nenp0s3=enp0s3\n", "ifupdown: "},
		{"ifupdown, another link", "run/network/ifstate", "lo=lo\nenp0s30=enp0s30\n", ""},
		{"cloud-init", "run/cloud-init/instance-data.json", "{}", "cloud-init: "},
	}
	for _, test := range tests {
		root := t.TempDir()
		if test.file != "" {
			path := filepath.Join(root, test.file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := strings.Join(managedBy(root, "enp0s3", 7), "\n")
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
