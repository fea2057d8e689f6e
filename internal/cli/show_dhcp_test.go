package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/api/skeinpb"
)

// What a relay says that is not there, or has not been asked yet.
func TestNoDHCPRelay(t *testing.T) {
	for want, m := range map[string]*skeinpb.GetDHCPRelayResponse{
		"There is no relay: cni.dhcp_server names no server.":                                            {},
		"Server 192.0.2.67, which answers to nobody yet and assigns from the subnet of that address\n0 ": {Server: "192.0.2.67"},
	} {
		var w bytes.Buffer
		if textDHCPRelay(&w, m); !strings.HasPrefix(w.String(), want) {
			t.Errorf("%q, want %q", &w, want)
		}
	}
}
