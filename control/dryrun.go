package control

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/drivers/auto"
	"github.com/skein-dataplane/skein/tuntap"
)

// DryRun looks at everything that taking an uplink over depends on, and
// returns it with what would change, as lines of ip(8). Nothing is changed.
// Drivers are tried by opening them, for which traffic may stall a moment.
func DryRun(cfg configs.Config, u configs.Uplink) (*takeover.Plan, []string) {
	plan := takeover.Preflight(takeover.Options{Dir: cfg.RunDir, Uplink: u.Interface})
	plan.Device()
	if plan.Err() != nil {
		return plan, nil
	}
	chosen, candidates, err := auto.Choose(driverFor(u))
	for _, x := range candidates {
		verdict := takeover.Noted
		if x.Chosen {
			verdict = takeover.Passed
		} else if chosen == "" {
			verdict = takeover.Refused
		}
		plan.Add("driver "+x.Driver, verdict, x.Reason)
	}
	if err != nil && len(candidates) == 0 {
		plan.Add("driver", takeover.Refused, err.Error())
	}
	diff := plan.Diff(cfg.RunDir)
	own, err := ownHostRoutes(slices.Concat(u.HostRoutes, cfg.Services.CIDRs), 0)
	if err != nil {
		plan.Add("host routes", takeover.Refused, err.Error())
	}
	for _, r := range own {
		diff = append(diff, fmt.Sprintf("+ route %s dev %s proto %d", r.Dst, u.Interface, tuntap.Protocol))
	}
	return plan, diff
}

// RemovePods deletes the TUNs that a daemon has left behind, and forgets what
// its API was asked for. No daemon may be running.
func RemovePods(runDir string) (names []string, failed error) {
	path := StorePath(runDir)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	s, err := store.Open(path, claimLimit)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	defer func() { failed = errors.Join(failed, s.Close()) }()
	tuns, err := s.Tuns()
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	for _, t := range tuns {
		if err := deleteStored(t.Pod); err != nil {
			failed = errors.Join(failed, fmt.Errorf("control: pod %s: %w", t.Pod.Name, err))
			continue
		}
		failed = errors.Join(failed, s.DelTun(t.Pod.Name))
		names = append(names, strings.Join([]string{t.Pod.Name, t.Pod.NetNS}, " "))
	}
	if failed != nil {
		return names, failed
	}
	return names, s.Clear()
}
