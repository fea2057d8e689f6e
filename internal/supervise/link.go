package supervise

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A Link is the child's end of the connection to its supervisor.
type Link struct {
	conn  *os.File
	words chan string // closed with the connection
}

// Connect takes up the connection that the process has inherited.
func Connect(fd int) (*Link, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("supervise: descriptor %d: %w", fd, err)
	}
	unix.CloseOnExec(fd)
	l := &Link{conn: os.NewFile(uintptr(fd), "supervisor"), words: make(chan string, 16)}
	go func() {
		defer close(l.words)
		for lines := bufio.NewScanner(l.conn); lines.Scan(); {
			l.words <- lines.Text()
		}
	}()
	return l, nil
}

// Words are the supervisor's. The channel is closed when it has died.
func (l *Link) Words() <-chan string { return l.words }

// Say tells the supervisor a word.
func (l *Link) Say(word string) error {
	if _, err := fmt.Fprintln(l.conn, word); err != nil {
		return fmt.Errorf("supervise: say %s: %w", word, err)
	}
	return nil
}

// AwaitGo is what a successor does once it is prepared.
func (l *Link) AwaitGo(ctx context.Context) error {
	if err := l.Say(Prepared); err != nil {
		return err
	}
	select {
	case word, ok := <-l.words:
		if !ok || word != Go {
			return fmt.Errorf("supervise: the supervisor says %q instead of %q", word, Go)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
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
