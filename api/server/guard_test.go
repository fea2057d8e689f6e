package server

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
)

// TestDeny changes the deny list of a daemon whose configuration has one.
func TestDeny(t *testing.T) {
	cfg := config(t)
	cfg.Deny = []string{"192.0.2.0/24"}
	ctl := newControl(t, cfg)
	running(t, ctl)
	serve(t, cfg, ctl)
	c := dial(t, cfg)
	ctx := t.Context()
	is := func(want string) {
		t.Helper()
		var got []string
		for _, d := range need[*pb.ListDenyResponse](t)(c.ListDeny(ctx, &pb.ListDenyRequest{})).Entries {
			got = append(got, d.Prefix+" "+d.Source)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	add := func(p ...string) error { _, err := c.AddDeny(ctx, &pb.AddDenyRequest{Prefixes: p}); return err }
	del := func(p ...string) error { _, err := c.DeleteDeny(ctx, &pb.DeleteDenyRequest{Prefixes: p}); return err }
	for range 2 { // again is no error
		if err := add("2001:db8:bad::/48", "198.51.100.7/32", "192.0.2.0/24"); err != nil {
			t.Fatal(err)
		}
		is("192.0.2.0/24 static, 198.51.100.7/32 api, 2001:db8:bad::/48 api")
	}
	refused(t, add("203.0.113.0/24", "10.0.0.1/8"), codes.InvalidArgument, "10.0.0.1/8 has bits beyond its length: 10.0.0.0/8 was meant, or another length")
	refused(t, add("203.0.113.0/24", "fe80::/10"), codes.InvalidArgument, "fe80::/10 is of the link, and never denied")
	refused(t, del("198.51.100.7/32", "192.0.2.0/24"), codes.FailedPrecondition, "the configuration denies 192.0.2.0/24")
	refused(t, del("198.51.100.7/32", "203.0.113.0/24"), codes.NotFound, "203.0.113.0/24 on the deny list: not found")
	is("192.0.2.0/24 static, 198.51.100.7/32 api, 2001:db8:bad::/48 api")
	if err := del("198.51.100.7/32"); err != nil {
		t.Fatal(err)
	}
	is("192.0.2.0/24 static, 2001:db8:bad::/48 api")
}
