package smaps_test

import (
	"testing"

	"github.com/skein-dataplane/skein/internal/smaps"
	"golang.org/x/sys/unix"
)

func TestOf(t *testing.T) {
	const size = 64 << 10
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	// A mapping is split where advice differs, so this is one of its own.
	if err := unix.Madvise(m, unix.MADV_NOHUGEPAGE); err != nil && smaps.Enabled() {
		t.Fatal(err)
	}
	clear(m)
	got, err := smaps.Of(m)
	if err != nil || got.HugeAsked || got.HugeKiB != 0 || got.RSSKiB < size>>10 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := unix.Madvise(m, unix.MADV_HUGEPAGE); err == nil {
		if got, err := smaps.Of(m); err != nil || !got.HugeAsked {
			t.Errorf("%+v, %v; huge pages were asked for", got, err)
		}
	}
	if err := unix.Munmap(m); err != nil {
		t.Fatal(err)
	}
}
