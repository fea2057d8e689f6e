package tour_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// configure changes the daemon's configuration before it starts.
func configure(t *testing.T, tr *tour.Tour, old, new string) {
	t.Helper()
	text, err := os.ReadFile(tr.Config)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("no %q in\n%s", old, text)
	}
	if err := os.WriteFile(tr.Config, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A host:port that accepts connections confirms a takeover. If it did before
// and does not any more, the uplink is given back by itself, and the daemon
// says why.
func TestConfirm(t *testing.T) {
	for _, test := range []struct {
		name    string
		remote  string
		accepts int // connections, until nobody listens
		fails   string
	}{
		{"IPv4 confirmed", lab.RemoteAddr, 1 << 20, ""},
		{"IPv4 rolled back", lab.RemoteAddr, 1, "not confirmed"},
		{"IPv6 confirmed", lab.RemoteAddr6, 1 << 20, ""},
		{"IPv6 rolled back", lab.RemoteAddr6, 1, "not confirmed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tr := newTour(t, tour.Options{Driver: "af_packet"})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ln, err := tr.Remote.ListenTCP(netip.AddrPortFrom(netip.MustParseAddr(test.remote), 0))
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				defer ln.Close()
				for range test.accepts {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					_ = conn.Close()
				}
			}()
			configure(t, tr, "    driver: af_packet\n", fmt.Sprintf("    driver: af_packet\n    confirm: {tcp: '%s', timeout: 2s}\n", ln.Addr()))
			before := hostView(t, ctx, tr.Node)
			err = tr.Start(ctx)
			if test.fails == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.fails) {
				t.Errorf("started, or for another reason not: %v", err)
			}
			if after := hostView(t, ctx, tr.Node); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if err := tr.Node.Reaches(ctx, test.remote, lab.Ping{Count: 3}); err != nil {
				t.Errorf("the host after the roll-back: %v", err)
			}
		})
	}
}

// A pod whose namespace is not there is refused before the uplink is touched.
func TestNoNamespace(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	configure(t, tr, tr.PodB.Path(), "/run/netns/nobody")
	err := tr.Start(ctx)
	if err == nil || !strings.Contains(err.Error(), "pods[1].netns") || strings.Contains(err.Error(), "move enp0s3 away") {
		t.Errorf("%v", err)
	}
}
