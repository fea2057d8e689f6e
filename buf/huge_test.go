package buf_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/internal/smaps"
)

// Small frames lie in huge pages where the kernel has any, and a node that uses
// few of them has no more memory than two pages hold.
func TestHugePages(t *testing.T) {
	p, err := buf.NewPool(16<<10, 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Arena().Close(); err != nil {
			t.Error(err)
		}
	})
	few := make([]*buf.Buffer, 256)
	p.Get(few)
	for _, b := range few {
		clear(b.Room())
	}
	m, err := smaps.Of(p.Arena().UMEM())
	if err != nil {
		t.Fatal(err)
	}
	if m.RSSKiB > 2*2048+64 {
		t.Errorf("%d frames take %d KiB", len(few), m.RSSKiB)
	}
	if !smaps.Enabled() {
		t.Logf("the kernel gives no huge pages: %+v", m)
	} else if !m.HugeAsked {
		t.Errorf("no huge pages asked for: %+v", m)
	}
	p.Put(few)
}
