// Command outage answers one question: for how long does nothing pass when the
// uplink changes hands?
//
// It builds the reference topology, has the host send a datagram each
// millisecond to a remote host, and prints minimum, median and maximum of the
// longest time without an answer: at takeover, at a replacement of the data
// plane, when that is killed, and at a clean stop. A TCP connection of the host
// has to survive it all. It needs root, and touches namespaces of its own only:
//
//	go build -o bin/ ./cmd/... && go run ./bench/outage -daemon bin/skeind
//
// It does so for each driver and each family, unless one is asked for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

func main() {
	runs := flag.Int("runs", 20, "how often each is measured")
	driver := flag.String("driver", "af_packet,af_xdp", "of the uplink, with commas between them: auto, af_packet, af_xdp")
	daemon := flag.String("daemon", "bin/skeind", "path of skeind")
	family := flag.String("family", "4,6", "of the probe, with commas between them")
	flag.Parse()
	for _, d := range strings.Split(*driver, ",") {
		for _, f := range strings.Split(*family, ",") {
			remote, ok := map[string]string{"4": lab.RemoteAddr, "6": lab.RemoteAddr6}[f]
			err := fmt.Errorf("family %q: 4 or 6", f)
			if ok {
				err = run(*runs, d, *daemon, netip.MustParseAddr(remote))
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "outage:", err)
				os.Exit(1)
			}
		}
	}
}

// interval is the time between two datagrams.
const interval = time.Millisecond

// limit bounds a single event.
const limit = 30 * time.Second

func run(runs int, driver, daemon string, remote netip.Addr) (err error) {
	daemon, err = filepath.Abs(daemon)
	if err != nil {
		return err
	}
	t, err := tour.New(tour.Options{Driver: driver, Daemon: daemon})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	m := measuring{tour: t, runs: runs, longest: map[string][]time.Duration{}}
	if m.host, err = lab.StartPulse(t.Node, t.Remote, remote, interval); err != nil {
		return err
	}
	defer m.host.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(runs+1)*2*limit)
	defer cancel()
	talk, err := lab.StartTalk(ctx, t.Node, t.Remote, remote)
	if err != nil {
		return err
	}
	for range runs {
		if err := m.round(ctx); err != nil {
			return errors.Join(err, talk.Stop())
		}
	}
	if err := talk.Stop(); err != nil {
		return fmt.Errorf("the TCP connection of the host: %w", err)
	}
	m.print(driver, remote, talk.Rounds())
	return nil
}

type measuring struct {
	tour    *tour.Tour
	host    *lab.Pulse
	runs    int
	longest map[string][]time.Duration // by event
}

// The events, in the order of a round.
const (
	takeover = "takeover"
	upgrade  = "replacement (SIGHUP)"
	crash    = "SIGKILL of the data plane"
	stop     = "clean stop"
)

func (m *measuring) round(ctx context.Context) error {
	for _, e := range []struct {
		name string
		do   func(context.Context) error
	}{
		{takeover, m.tour.Start}, {upgrade, m.tour.Upgrade}, {crash, m.tour.Crash},
		{takeover, m.tour.Start}, {stop, m.tour.Stop},
	} {
		if err := m.measure(ctx, e.name, e.do); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

func (m *measuring) measure(ctx context.Context, event string, do func(context.Context) error) error {
	if !m.host.Settle(limit) {
		return errors.New("nothing passes before")
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m.host.Reset()
	if err := do(ctx); err != nil {
		return err
	}
	if !m.host.Settle(limit) {
		return errors.New("nothing passes afterwards")
	}
	m.longest[event] = append(m.longest[event], m.host.Longest())
	return nil
}

func (m *measuring) print(driver string, remote netip.Addr, rounds uint64) {
	fmt.Printf("Longest time without an answer, host to %s, a datagram each %v, %s:\n", remote, interval, driver)
	for _, event := range []string{takeover, upgrade, crash, stop} {
		all := m.longest[event]
		slices.Sort(all)
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		fmt.Printf("  %-28s min %7.1f ms  median %7.1f ms  max %7.1f ms  of %d\n", event, ms(all[0]), ms(all[len(all)/2]), ms(all[len(all)-1]), len(all))
	}
	fmt.Printf("One TCP connection of the host has lived through all of it: %d questions, as many answers.\n", rounds)
}
