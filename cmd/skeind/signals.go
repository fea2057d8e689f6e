package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Stops are SIGTERM and SIGINT: either ends the context. Other than by
// signal.NotifyContext, one can let go of them without ending it.
type stops struct {
	ctx     context.Context
	signals chan os.Signal
	settle  chan chan struct{} // closed when what has come so far is seen to
}

func newStops() *stops {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stops{ctx: ctx, signals: make(chan os.Signal, 1), settle: make(chan chan struct{})}
	s.listen()
	go func() {
		for {
			select {
			case <-s.signals:
				cancel()
			case done := <-s.settle:
				select {
				case <-s.signals:
					cancel()
				default:
				}
				close(done)
			}
		}
	}()
	return s
}

func (s *stops) listen() { signal.Notify(s.signals, syscall.SIGINT, syscall.SIGTERM) }

// letGo has the signals end the process from now on, until listen is called. It
// returns an error if one has come before. So none is lost.
func (s *stops) letGo() error {
	signal.Stop(s.signals) // what has come by now is in the channel
	done := make(chan struct{})
	s.settle <- done
	<-done
	return s.ctx.Err()
}
