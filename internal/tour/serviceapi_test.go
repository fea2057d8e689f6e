package tour_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// What the API was given, with a configuration that says nothing of services
// or NAT: it holds at once, also for the node's own processes, after the daemon
// has ended and begun again, and after another has taken over; and goes again.
func TestServicesOfAPI(t *testing.T) {
	w := startServices(t, tour.Options{})
	w.tell(t, w.PodB, "b", 8080)
	w.tell(t, w.Remote, "remote", 8080)
	c := w.client(t)
	w.apply(t, c, twoFamilies("web", "10.96.0.10", "2001:db8:96::10", "  type: ClusterIP\n"+ports80, here, here6, 8080)+
		twoFamilies("onlink", "10.0.0.250", "2001:db8::250", "  type: ClusterIP\n"+ports80, here, here6, 8080))
	changes := []*skeinpb.ChangeNATRequest{
		{What: &skeinpb.ChangeNATRequest_Static{Static: "tcp local " + lab.OtherPodAddr + " 8080 external 10.0.0.77 80"}},
		{What: &skeinpb.ChangeNATRequest_Static{Static: "tcp local " + lab.OtherPodAddr6 + " 8080 external 2001:db8::77 80"}},
		{What: &skeinpb.ChangeNATRequest_Pool{Pool: &skeinpb.NATPool{Prefix: lab.PodBlock, Outgoing: true}}},
		{What: &skeinpb.ChangeNATRequest_Pool{Pool: &skeinpb.NATPool{Prefix: lab.PodBlock6, Outgoing: true}}},
	}
	for _, change := range changes {
		_, err := c.ChangeNAT(w.ctx, change)
		lab.Need(t, err)
	}
	w.holdsOfAPI(t, "at first")
	lab.Need(t, c.Close())
	lab.Need(t, w.Stop(w.ctx))
	lab.Need(t, w.Start(w.ctx))
	w.holdsOfAPI(t, "after a restart")
	lab.Need(t, w.Upgrade(w.ctx))
	w.holdsOfAPI(t, "after an upgrade")

	c = w.client(t)
	if got := w.hostRoutes(t); strings.Count(got, "96") != 2 || strings.Contains(got, "250") {
		t.Errorf("the host's routes to ClusterIPs:\n%s", got)
	}
	_, err := c.DeleteServices(w.ctx, &skeinpb.DeleteServicesRequest{Objects: []string{"Service default/web"}})
	lab.Need(t, err)
	for _, change := range changes {
		change.Delete = true
		_, err := c.ChangeNAT(w.ctx, change)
		lab.Need(t, err)
	}
	w.eventually(t, "routes are gone", func() error {
		if got := w.hostRoutes(t); strings.Contains(got, "96") {
			return errors.New(got)
		}
		return nil
	})
	for _, addr := range []string{"10.96.0.10:80", "[2001:db8:96::10]:80"} {
		if got, err := w.ask(w.PodA, "tcp", addr); err == nil {
			t.Errorf("%s answers when it is deleted: %q", addr, got)
		}
	}
	w.wants(t, w.PodA, lab.RemoteAddr+":8080", "remote "+lab.PodAddr)
	w.wants(t, w.PodA, "["+lab.RemoteAddr6+"]:8080", "remote "+lab.PodAddr6)
}

// holdsOfAPI looks whether all holds that TestServicesOfAPI has asked for.
func (w *servicesWorld) holdsOfAPI(t *testing.T, when string) {
	t.Helper()
	for _, f := range []struct{ vip, static, remote, pod, node string }{
		{"10.96.0.10", "10.0.0.77:80", lab.RemoteAddr, lab.PodAddr, lab.NodeAddr},
		{"[2001:db8:96::10]", "[2001:db8::77]:80", "[" + lab.RemoteAddr6 + "]", lab.PodAddr6, lab.NodeAddr6},
	} {
		bare := strings.Trim(f.remote, "[]")
		w.wants(t, w.PodA, f.vip+":80", "b "+f.pod)
		w.wants(t, w.PodA, f.remote+":8080", "remote "+f.node)
		if got, err := w.ask(w.Remote, "tcp", f.static); err != nil || got != "b "+bare {
			t.Errorf("%s: a mapping: %q, %v", when, got, err)
		}
		w.eventually(t, when+": the host asks "+f.vip, func() error {
			if got, err := w.ask(w.Node, "tcp", f.vip+":80"); err != nil || got != "b "+f.node {
				return fmt.Errorf("%q, %w", got, err)
			}
			return nil
		})
		if _, err := w.ask(w.Node, "tcp", f.vip+":81"); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("%s: a port that %s has not: %v, want EHOSTUNREACH", when, f.vip, err)
		}
	}
}

// hostRoutes returns the host's routes that are Skein's.
func (w *servicesWorld) hostRoutes(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, family := range []string{"-4", "-6"} {
		out, err := w.Node.Exec(w.ctx, "ip", family, "route", "show", "proto", "115")
		lab.Need(t, err)
		all.Write(out)
	}
	return all.String()
}
