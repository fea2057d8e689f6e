package hdr_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The accessors that nodes call for each packet stay cheap enough for the
// compiler to inline: a call would cost more than the work.
func TestInline(t *testing.T) {
	tests := []struct {
		pkg   string
		funcs []string
	}{
		{"github.com/skein-dataplane/skein/hdr", []string{
			"(*Ether).Dst", "(*Ether).Src", "(*Ether).Type", "MAC.IsGroup", "MAC.Word", "(*Ether).ToWord",
			"(*IPv4).HeaderLen", "(*IPv4).Len", "(*IPv4).Frag", "(*IPv4).TTL", "(*IPv4).Protocol", "(*IPv4).Src", "(*IPv4).Dst",
			"(*IPv4).DecTTL", "(*IPv4).IsPlain", "(*IPv4).SumsUp", "(*IPv4).PlainPorts", "(*UDP).SrcPort", "(*UDP).DstPort", "Patch16", "Fold",
			"Addr4.IsLoopback", "Addr4.IsMulticast",
			"(*IPv6).Src", "(*IPv6).Dst", "(*IPv6).PayloadLen", "(*IPv6).NextHeader", "(*IPv6).TrafficClass", "(*IPv6).FlowLabel", "(*IPv6).DecHopLimit",
			"Addr6.IsMulticast", "Addr6.IsLinkLocal", "Addr6.IsLoopback", "Addr6.IsUnspecified", "Addr6.SolicitedNode"}},
		{"github.com/skein-dataplane/skein/buf", []string{
			"(*Buffer).Bytes", "(*Buffer).Len", "(*Buffer).Off", "(*Buffer).Advance", "(*Buffer).Trim", "(*Buffer).Prepend",
			"(*Buffer).Ether", "(*Buffer).IPv4", "(*Buffer).IPv4AtL3", "(*Buffer).UDP", "(*Buffer).TCP", "(*Buffer).PrependEther", "(*Buffer).Reset"}},
		{"github.com/skein-dataplane/skein/graph", []string{"NextFeature", "FirstFeature", "(*Vector).Bufs", "(*Worker).port"}},
		{"github.com/skein-dataplane/skein/fib", []string{"(*Table4).Adj", "(*Table6).Adj"}},
		{"github.com/skein-dataplane/skein/nodes", []string{"link", "flowHash", "plain", "wireLen", "unicast6", "plain6", "link6", "valid", "packetsOf"}},
	}
	for _, test := range tests {
		out, err := exec.Command("go", "build", "-gcflags="+test.pkg+"=-m", test.pkg).CombinedOutput()
		if err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		for _, f := range test.funcs {
			if !strings.Contains(string(out), ": can inline "+f+"\n") {
				t.Errorf("%s: %s is no longer inlined", test.pkg, f)
			}
		}
	}
}
