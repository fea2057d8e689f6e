package state_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

func TestUpdate(t *testing.T) {
	pub := state.NewPublisher()
	first := pub.Load()
	if first.FIB4 == nil || first.FIB4.Lookup(1, 2) != 0 || len(first.Ifaces) != 1 || first.Gen != 0 {
		t.Errorf("the empty world: %+v", first)
	}
	refused := errors.New("refused")
	if err := pub.Update(func(next *state.State) error {
		next.Addr4 = 7
		return refused
	}); !errors.Is(err, refused) {
		t.Errorf("error %v, want the edit's", err)
	}
	if pub.Load() != first {
		t.Error("a failed edit has published something")
	}
	if err := pub.Update(func(next *state.State) error {
		next.Addr4 = 7
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if s := pub.Load(); s.Addr4 != 7 || s.Gen != 1 || first.Addr4 != 0 {
		t.Errorf("after an edit %+v, before it %+v", s, first)
	}
}

func TestSource4(t *testing.T) {
	s := state.State{Addr4: 1, Ifaces: []iface.Iface{{}, {Addr4: 2}, {}}}
	if a, b := s.Source4(1), s.Source4(2); a != 2 || b != 1 {
		t.Errorf("sources %d and %d, want 2 and 1", a, b)
	}
}

// No edit is lost, and each reader sees whole States in order.
func TestConcurrent(t *testing.T) {
	pub := state.NewPublisher()
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		writers.Go(func() {
			for range 500 {
				_ = pub.Update(func(next *state.State) error {
					next.Addr4++
					return nil
				})
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			var last uint64
			for {
				s := pub.Load()
				if uint64(s.Addr4) != s.Gen || s.Gen < last {
					t.Errorf("generation %d after %d holds %d", s.Gen, last, s.Addr4)
				}
				last = s.Gen
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if s := pub.Load(); s.Gen != 2000 {
		t.Errorf("generation %d after 2000 edits", s.Gen)
	}
}
