package main

import (
	"fmt"
	"io"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/control/takeover"
)

// dryRun prints what taking the uplinks over would do. It fails if any of them
// can't be.
func dryRun(out io.Writer, path string) error {
	cfg, err := configs.Load(path)
	if err != nil {
		return err
	}
	if err := needToRun(); err != nil {
		return err
	}
	refused := 0
	for _, u := range cfg.Uplinks {
		plan, diff := control.DryRun(cfg, u)
		fmt.Fprintf(out, "uplink %s\n", u.Interface)
		for _, c := range plan.Checks {
			fmt.Fprintf(out, "  %-8s %-22s %s\n", c.Verdict, c.What, c.Reason)
			if c.Verdict == takeover.Refused {
				refused++
			}
		}
		if plan.Err() != nil {
			fmt.Fprintln(out, "  nothing would be changed")
			continue
		}
		for _, line := range diff {
			fmt.Fprintln(out, "  "+line)
		}
	}
	if refused > 0 {
		return fmt.Errorf("refused: %d checks have failed", refused)
	}
	return nil
}
