package afxdp

import (
	"testing"

	"golang.org/x/sys/unix"
)

// While the device is open the NIC leaves VLAN tags in frames, and then it does
// again what it did before.
func TestKeepsTags(t *testing.T) {
	w := newWire(t, 1)
	takes := func() (on bool) {
		t.Helper()
		w.skein.Do(t, func() error {
			flags, err := ethtoolFlags("s0", unix.ETHTOOL_GFLAGS, 0)
			on = flags&rxVLAN != 0
			return err
		})
		return on
	}
	for _, before := range []bool{true, false} {
		if !before {
			w.skein.Do(t, func() error { _, err := keepTags("s0"); return err })
		}
		if takes() != before {
			t.Fatalf("takes tags out before: %t, want %t", !before, before)
		}
		w.open(t, Config{})
		if takes() {
			t.Error("takes tags out while the device is open")
		}
		for _, q := range w.dev.Queues() {
			if err := q.Close(w.pool); err != nil {
				t.Error(err)
			}
		}
		if err := w.dev.Close(); err != nil {
			t.Error(err)
		}
		if takes() != before {
			t.Errorf("takes tags out afterwards: %t, want %t", !before, before)
		}
	}
}
