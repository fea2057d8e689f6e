package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Connects is a load of TCP connections that are made, and closed by a reset, so
// that none of their ports is occupied afterwards.
type Connects struct {
	From, To Place
	Addr     netip.AddrPort // of To, as To has it; a port of 0 is chosen
	By       netip.AddrPort // what From connects to, if that stands for Addr; zero: Addr
	Clients  int            // threads, each with one connection at a time; 0: 1
	Count    uint64         // connections, of all clients together; 0: bounded by Duration only
	Duration time.Duration  // 0: 1 s
}

// Requests is a load of questions and answers over TCP.
type Requests struct {
	From, To Place
	Addr     netip.AddrPort // of To, as To has it; a port of 0 is chosen
	By       netip.AddrPort // what From connects to, if that stands for Addr; zero: Addr
	Conns    int            // connections, each with one question at a time; 0: 1
	Size     int            // bytes of a question and of its answer; 0: 1
	Count    uint64         // questions, on all connections together; 0: bounded by Duration only
	Duration time.Duration  // 0: 1 s
}

// Taken is how often something was done, and how long it took each time.
type Taken struct {
	Times   Histogram
	Elapsed time.Duration
}

// PerSecond returns how often it was done in a second.
func (t *Taken) PerSecond() float64 { return float64(t.Times.Count()) / t.Elapsed.Seconds() }

// Run connects. It fails if any connection does. The end of ctx ends it early.
func (c Connects) Run(ctx context.Context) (*Taken, error) {
	return load{c.From, c.To, c.Addr, c.By, max(c.Clients, 1), c.Count, c.Duration,
		1, // nothing is asked: the server waits until who has connected closes
		func(w *work) error { return w.connects() },
	}.run(ctx)
}

// Run asks. It fails if any connection does. The end of ctx ends it early.
func (r Requests) Run(ctx context.Context) (*Taken, error) {
	size := max(r.Size, 1)
	if size > maxPayload {
		return nil, fmt.Errorf("traffic: a question of %d bytes: more than %d", size, maxPayload)
	}
	return load{r.From, r.To, r.Addr, r.By, max(r.Conns, 1), r.Count, r.Duration,
		size,
		func(w *work) error { return w.asks(size) },
	}.run(ctx)
}

// A load is several clients and a server.
type load struct {
	from, to Place
	addr, by netip.AddrPort
	clients  int
	count    uint64
	duration time.Duration
	size     int               // bytes that the server answers at a time
	client   func(*work) error // works until w.more is false
}

// A work is what one client does.
type work struct {
	ctx   context.Context
	dst   netip.AddrPort
	limit uint64 // 0: none
	times Histogram
}

func (l load) run(ctx context.Context) (*Taken, error) {
	duration, err := bounded(l.duration)
	if err != nil {
		return nil, err
	}
	if l.clients > maxThreads {
		return nil, fmt.Errorf("traffic: %d connections: more than %d", l.clients, maxThreads)
	}
	ln, bound, err := listen(l.to, l.addr)
	if err != nil {
		return nil, err
	}
	stop := l.accept(ln)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	start := time.Now()
	works, errs := make([]*work, l.clients), make([]error, l.clients)
	var wg sync.WaitGroup
	for i := range works {
		w := &work{ctx: ctx, dst: seenAs(l.by, bound), limit: share(l.count, i, l.clients)}
		works[i] = w
		if l.count > 0 && w.limit == 0 {
			continue // there is less to do than there are clients
		}
		// Threads that are inside open a socket for each connection; those of
		// others would have to enter each time.
		wg.Go(func() { errs[i] = l.from.Do(func() error { return l.client(w) }) })
	}
	wg.Wait()
	t := &Taken{Elapsed: time.Since(start)}
	for _, w := range works {
		t.Times.Merge(&w.times)
	}
	if err := errors.Join(errs...); err != nil {
		return t, fmt.Errorf("traffic: tcp to %v, after %d: %w", seenAs(l.by, bound), t.Times.Count(), err)
	}
	return t, nil
}

// accept serves connections until the function that it returns is called, which
// waits for all of them.
func (l load) accept(ln socket) (stop func()) {
	var over atomic.Bool
	ended := func() error {
		if over.Load() {
			return errOver
		}
		return nil
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for !over.Load() {
			fd, _, err := unix.Accept4(int(ln), unix.SOCK_CLOEXEC)
			if err != nil {
				continue // nobody came, or somebody has gone again: the client tells
			}
			s := socket(fd)
			if err := s.prepare(); err != nil {
				s.close()
				continue
			}
			wg.Go(func() { echo(s, l.size, ended) })
		}
	})
	return func() {
		over.Store(true)
		wg.Wait()
		ln.close()
	}
}

// more reports whether there is more to do.
func (w *work) more() bool {
	return w.ctx.Err() == nil && (w.limit == 0 || w.times.Count() < w.limit)
}

// connect returns a connection, or an error, which is nil if it was given up as
// the load is over.
func (w *work) connect() (s socket, ok bool, err error) {
	if s, err = newSocket(w.dst.Addr()); err != nil {
		return -1, false, err
	}
	if err := s.prepare(); err != nil {
		s.close()
		return -1, false, err
	}
	for to := sockaddr(w.dst); ; {
		err := unix.Connect(int(s), to)
		switch {
		case err == nil || errors.Is(err, unix.EISCONN):
			return s, true, nil
		case !waits(err):
			s.close()
			return -1, false, fmt.Errorf("connect: %w", err)
		case w.ctx.Err() != nil:
			s.close()
			return -1, false, nil
		}
	}
}

// waits reports whether a call has only not succeeded yet.
func waits(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.EALREADY)
}

func (w *work) connects() error {
	for w.more() {
		start := time.Now()
		s, ok, err := w.connect()
		if err != nil {
			return err
		}
		if ok {
			w.times.Add(time.Since(start))
			s.close()
		}
	}
	return nil
}

func (w *work) asks(size int) error {
	s, ok, err := w.connect()
	if !ok {
		return err
	}
	defer s.close()
	question, answer := make([]byte, size), make([]byte, size)
	for w.more() {
		start := time.Now()
		question[0]++
		if err := s.all(unix.Write, question, w.ctx.Err); err != nil {
			return early(w.ctx, err)
		}
		if err := s.all(unix.Read, answer, w.ctx.Err); err != nil {
			return early(w.ctx, err)
		}
		if answer[0] != question[0] {
			return fmt.Errorf("asked %d, answered %d", question[0], answer[0])
		}
		w.times.Add(time.Since(start))
	}
	return nil
}

// early is the error of a call, unless the load is over.
func early(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// errOver ends a server whose clients are gone, also where it was not told so: a
// reset may be lost, and is not repeated.
var errOver = errors.New("the load is over")

// errGone is what a connection ends with whose other end has closed it.
var errGone = errors.New("the other end has closed the connection")

// all reads or writes all of p, until over returns an error.
func (s socket) all(call func(fd int, p []byte) (int, error), p []byte, over func() error) error {
	for len(p) > 0 {
		n, err := call(int(s), p)
		switch {
		case err == nil && n == 0:
			return errGone
		case err == nil:
			p = p[n:]
		case !waits(err):
			return err
		}
		if err := over(); err != nil && len(p) > 0 {
			return err
		}
	}
	return nil
}

// echo answers until the other end is gone, or over returns an error.
func echo(s socket, size int, over func() error) {
	defer s.close()
	p := make([]byte, size)
	for s.all(unix.Read, p, over) == nil && s.all(unix.Write, p, over) == nil {
	}
}
