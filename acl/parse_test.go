package acl_test

import (
	"errors"
	"testing"

	"github.com/skein-dataplane/skein/acl"
)

func TestParseRule(t *testing.T) {
	for _, s := range []string{
		"allow", "deny", "pass", "log tcp",
		"allow ipv4 tcp from net 10.0.0.0/8 set web to ports 80,443,8000:8080",
		"allow not tcp not icmp-type 8/0 from not net fd00::/8 not set a,b",
		"deny ipv6 icmpv6 icmp-type 128 to net fd00::/64,fd01::/64",
		"allow protocol 47", "deny udp from ports 53 named-ports dns not ports 1:5 to not named-ports web",
	} {
		r, err := acl.ParseRule(s)
		if err != nil || r.String() != s {
			t.Errorf("%q: read as %q, %v", s, r.String(), err)
		}
	}
	for _, s := range []string{"", "permit", "allow from net", "allow from net 10.0.0.0", "allow tcp to ports 1:x",
		"allow tcp to ports 70000", "allow protocol 0", "allow udp icmp-type 8", "allow not ipv4", "allow to set", "allow set a"} {
		if r, err := acl.ParseRule(s); !errors.Is(err, acl.ErrInvalid) {
			t.Errorf("%q: read as %q, %v", s, r.String(), err)
		}
	}
}

// FuzzParseRule: what is read is written so that it is read as the same again.
func FuzzParseRule(f *testing.F) {
	f.Add("allow ipv4 tcp from net 10.0.0.0/8 set web to ports 80,443,8000:8080")
	f.Add("deny not icmp-type 8/0 to not named-ports a")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := acl.ParseRule(s)
		if err != nil {
			return
		}
		text := r.String()
		again, err := acl.ParseRule(text)
		if err != nil || again.String() != text {
			t.Errorf("%q is written %q and read as %q, %v", s, text, again.String(), err)
		}
	})
}
