package supervise

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The words of a child. It may hand devices on before Released.
const (
	Prepared = "prepared" // a successor needs only the devices now
	Ready    = "ready"    // packets move
	Alive    = "alive"    // they still do: the worker has answered
	Released = "released" // the devices are free for a successor
)

// The words to a child. The end of the connection means: stop.
const (
	Go   = "go"   // a successor may attach
	Keep = "keep" // let go of the devices, leave everything standing, and end
)

// ChildFD is the number of the connection's descriptor in the child: the first
// of exec.Cmd's ExtraFiles.
const ChildFD = 3

// A child is a process that moves packets, or is about to.
type child struct {
	proc    *os.Process
	wire    wire
	words   chan message
	done    chan struct{}       // closed when it has ended
	err     error               // how, valid then
	devices map[string]*os.File // that it has handed on
}

func (s *supervisor) start(own, successor bool) (*child, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := s.Command(own, successor)
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("supervise: start %s: %w", cmd.Path, err), ours.conn.Close())
	}
	s.expose(cmd.Process.Pid)
	return newChild(cmd.Process, ours, cmd.Wait), nil
}

// newChild begins to listen to a process. wait returns how it has ended, once
// it has.
func newChild(proc *os.Process, w wire, wait func() error) *child {
	c := &child{proc: proc, wire: w, words: make(chan message, 16), done: make(chan struct{}), devices: map[string]*os.File{}}
	heard := make(chan struct{})
	go c.listen(heard)
	go func() {
		c.err = wait()
		// A grandchild may hold the connection open: nobody waits for it.
		select {
		case <-heard:
		case <-time.After(100 * time.Millisecond):
		}
		close(c.done)
		_ = w.conn.Close()
	}()
	return c
}

func socketPair() (ours wire, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return wire{}, nil, fmt.Errorf("supervise: %w", err)
	}
	if ours, err = newWire(fds[0]); err != nil {
		return wire{}, nil, errors.Join(err, unix.Close(fds[1]))
	}
	return ours, os.NewFile(uintptr(fds[1]), "data plane"), nil
}

// listen reads the child's words. Nobody may be there for those of a child
// that is about to end.
func (c *child) listen(done chan<- struct{}) {
	defer close(done)
	for {
		m, err := c.wire.receive()
		if err != nil {
			return
		}
		select {
		case c.words <- m:
		case <-c.done:
			return
		}
	}
}

func (c *child) say(word string) error { return c.wire.send(word, nil) }

// take keeps a device that the child hands on.
func (c *child) take(m message) {
	if m.file == nil {
		return
	}
	if name, ok := strings.CutPrefix(m.word, deviceWord); ok {
		c.devices[name] = m.file
		return
	}
	_ = m.file.Close() // nobody has asked for it
}

// inherit hands a predecessor's devices on, and says that they are free.
func (c *child) inherit(devices map[string]*os.File) error {
	for name, file := range devices {
		if err := c.wire.send(deviceWord+name, file); err != nil {
			return err
		}
	}
	return c.say(Go)
}

// await waits for a word, and ignores others. One that has ended says nothing
// any more.
func (c *child) await(word string, limit time.Duration) error {
	late := time.After(limit)
	for {
		select {
		case m := <-c.words:
			c.take(m)
			if m.word == word {
				return nil
			}
		case <-c.done:
			return c.last(word)
		case <-late:
			return fmt.Errorf("supervise: not %s after %v", word, limit)
		}
	}
}

// last looks for a word among those that a child has said before its end.
func (c *child) last(word string) error {
	for {
		select {
		case m := <-c.words:
			c.take(m)
			if m.word == word {
				return nil
			}
		default:
			return fmt.Errorf("supervise: %w before it was %s: %w", errDied, word, c.how())
		}
	}
}

// how tells how a child that is done has ended.
func (c *child) how() error {
	if c.err == nil {
		return errors.New("it has ended by itself")
	}
	return c.err
}

// stop has the child give everything back.
func (c *child) stop(limit time.Duration) error {
	if err := c.proc.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("supervise: %w", err)
	}
	for late := time.After(limit); ; {
		select {
		case m := <-c.words:
			c.take(m)
		case <-c.done:
			if c.err != nil && !errors.Is(c.err, errUnknown) {
				return fmt.Errorf("supervise: the data plane has stopped with %w", c.err)
			}
			return nil
		case <-late:
			return errors.Join(fmt.Errorf("supervise: the data plane does not stop within %v, and is killed", limit), c.kill())
		}
	}
}

// end waits for a child that has let go, and kills one that stays.
func (c *child) end(limit time.Duration) {
	for late := time.After(limit); ; {
		select {
		case m := <-c.words:
			c.take(m)
		case <-c.done:
			return
		case <-late:
			_ = c.kill()
			return
		}
	}
}

// kill ends the child at once, and returns when it is gone.
func (c *child) kill() error {
	if err := c.proc.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("supervise: %w", err)
	}
	for {
		select {
		case m := <-c.words:
			c.take(m)
		case <-c.done:
			return nil
		}
	}
}

// forget closes the devices that it has handed on.
func (c *child) forget() {
	for _, file := range c.devices {
		_ = file.Close()
	}
	clear(c.devices)
}
