package supervise

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Link is the child's end of the connection to its supervisor.
type Link struct {
	wire     wire
	messages chan message // closed with the connection
}

// Connect takes up the connection that the process has inherited.
func Connect(fd int) (*Link, error) {
	unix.CloseOnExec(fd)
	w, err := newWire(fd)
	if err != nil {
		return nil, err
	}
	l := &Link{wire: w, messages: make(chan message, 16)}
	go func() {
		defer close(l.messages)
		for {
			m, err := w.receive()
			if err != nil {
				return
			}
			l.messages <- m
		}
	}()
	return l, nil
}

// Word waits for the next word. ok is false when the supervisor has died.
func (l *Link) Word() (word string, ok bool) {
	m, ok := <-l.messages
	return m.word, ok
}

// Say tells the supervisor a word.
func (l *Link) Say(word string) error { return l.wire.send(word, nil) }

// Hand gives the supervisor a device's descriptor for a successor. The file
// stays the caller's.
func (l *Link) Hand(device string, file *os.File) error { return l.wire.send(deviceWord+device, file) }

// deviceWord is what a word begins with that brings a device's descriptor.
const deviceWord = "device "

// AwaitGo is what a successor does once it is prepared. It returns the
// descriptors that its predecessor has handed on, by device.
func (l *Link) AwaitGo(ctx context.Context) (map[string]*os.File, error) {
	if err := l.Say(Prepared); err != nil {
		return nil, err
	}
	devices := map[string]*os.File{}
	for {
		select {
		case m, ok := <-l.messages:
			if !ok {
				return nil, fmt.Errorf("supervise: the supervisor has died before it said %s", Go)
			}
			name, isDevice := strings.CutPrefix(m.word, deviceWord)
			switch {
			case isDevice && m.file != nil:
				devices[name] = m.file
			case m.word == Go:
				return devices, nil
			default:
				return nil, fmt.Errorf("supervise: the supervisor says %q instead of %q", m.word, Go)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Beat tells the supervisor every so often that the data plane moves, as long
// as alive says so. It returns when ctx is done.
func (l *Link) Beat(ctx context.Context, every time.Duration, alive func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		once, cancel := context.WithTimeout(ctx, every)
		if alive(once) == nil {
			_ = l.Say(Alive) // a supervisor that is gone is noticed elsewhere
		}
		cancel()
	}
}
