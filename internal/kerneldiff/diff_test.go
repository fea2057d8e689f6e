package kerneldiff

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/pktline"
)

var (
	flagFrames = flag.Int("frames", 200000, "frames of each family")
	flagSeed   = flag.Uint64("seed", 1, "of what is random")
	flagMost   = flag.Int("most", 12, "disagreements to print before it is enough")
	flagFrame  = flag.Int("frame", -1, "number of the one frame that is wanted")
)

// Linux and Skein agree on what becomes of a frame, but for the exceptions.
func TestForwardsAsLinux(t *testing.T) {
	for _, family := range []struct {
		name       string
		make       func(source) frame
		exceptions []exception
	}{{"IPv4", source.frame4, exceptions4}, {"IPv6", source.frame6, exceptions6}} {
		t.Run(family.name, func(t *testing.T) {
			pin(t)
			d := differ{t: t, kernel: newKernel(t), skein: newSkein(t), exceptions: family.exceptions, fired: map[string]int{}}
			t.Logf("-seed %d", *flagSeed)
			first, end := 0, *flagFrames
			if *flagFrame >= 0 {
				first, end = *flagFrame, *flagFrame+1
			}
			for i := first; i < end && d.wrong < *flagMost; i++ {
				d.try(i, family.make(newSource(*flagSeed, uint64(i))))
			}
			if *flagFrame < 0 {
				d.report()
			}
		})
	}
}

// A differ compares, and counts.
type differ struct {
	t          *testing.T
	kernel     *kernel
	skein      *skein
	exceptions []exception
	fired      map[string]int // by exception
	counts     struct{ tried, dropped, forwarded, answered int }
	wrong      int
}

// try gives both one frame.
func (d *differ) try(number int, f frame) {
	d.t.Helper()
	if unresolved(f) {
		return // both would ask, again and again, each in its own time
	}
	out, err := d.kernel.route(f)
	if err != nil {
		d.t.Fatalf("frame %d: %v", number, err)
	}
	x := newTrial(f, out, d.skein.route(d.t, f))
	d.count(x)
	why, same := x.agree(d.exceptions)
	if !same {
		d.wrong++
		d.t.Errorf("frame %d: %s\nkernel: %s\nskein:  %s\ndropped at %q", number, show(f), shows(x.kernel), shows(x.skein), d.skein.drop(d.t, f))
	}
	for _, name := range why {
		d.fired[name]++
	}
}

func (d *differ) count(x *trial) {
	d.counts.tried++
	switch {
	case len(x.kernel) == 0:
		d.counts.dropped++
	case answer(x.kernel[0]) == nil:
		d.counts.forwarded++
	default:
		d.counts.answered++
	}
}

// report says what was compared, and fails the test if it was little, or if an
// exception was not needed.
func (d *differ) report() {
	d.t.Helper()
	c := d.counts
	d.t.Logf("%d frames: Linux has dropped %d, forwarded %d, answered %d", c.tried, c.dropped, c.forwarded, c.answered)
	if least := c.tried / 20; min(c.dropped, c.forwarded, c.answered) < least {
		d.t.Errorf("less than %d of one kind: this tests little", least)
	}
	for _, e := range d.exceptions {
		if d.t.Logf("%6d %s", d.fired[e.name], e.name); d.fired[e.name] == 0 && !e.optional && *flagSeed == 1 && *flagFrames >= 200000 {
			d.t.Errorf("nothing needs the exception %q any more", e.name)
		}
	}
}

func show(f frame) string {
	line := ports[f.port].name + ": " + pktline.Format(f.bytes, true)
	if *flagFrame < 0 {
		return line
	}
	return fmt.Sprintf("%s\n        % x", line, f.bytes)
}

func shows(all []frame) string {
	if len(all) == 0 {
		return "nothing"
	}
	var out []string
	for _, f := range all {
		out = append(out, show(f))
	}
	return strings.Join(out, "\n        ")
}
