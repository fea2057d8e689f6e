package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A Talk is a TCP connection on which one side asks and the other answers, all
// the time, until it is stopped. Every byte is compared. It shows whether a
// connection survives what happens on its way.
type Talk struct {
	conn   *net.TCPConn
	listen *net.TCPListener
	stop   chan struct{}
	wg     sync.WaitGroup
	rounds atomic.Uint64

	mu     sync.Mutex
	failed error
}

const (
	talkBytes = 4096 // of a question, so that it takes several segments
	talkPause = 2 * time.Millisecond
)

// StartTalk connects from a namespace to an address of another.
func StartTalk(ctx context.Context, from, to *Namespace, addr netip.Addr) (*Talk, error) {
	return StartTalkBy(ctx, from, to, netip.AddrPortFrom(addr, 0), netip.AddrPort{})
}

// StartTalkBy is StartTalk for a connection to an address that stands for at,
// such as a service's; by zero is at itself.
func StartTalkBy(ctx context.Context, from, to *Namespace, at, by netip.AddrPort) (*Talk, error) {
	listen, err := to.ListenTCP(at)
	if err != nil {
		return nil, err
	}
	if !by.IsValid() {
		by = listen.Addr().(*net.TCPAddr).AddrPort()
	}
	t := &Talk{listen: listen, stop: make(chan struct{})}
	t.wg.Go(t.answer)
	if t.conn, err = from.DialTCP(ctx, by); err != nil {
		_ = listen.Close()
		t.wg.Wait()
		return nil, err
	}
	t.wg.Go(t.ask)
	return t, nil
}

// answer sends back what comes.
func (t *Talk) answer() {
	conn, err := t.listen.AcceptTCP()
	if err != nil {
		return // stopped before anybody came
	}
	defer conn.Close()
	if _, err := io.Copy(conn, conn); err != nil {
		t.fail(fmt.Errorf("lab: the answering side: %w", err))
	}
}

func (t *Talk) ask() {
	defer func() { _ = t.conn.CloseWrite() }() // an orderly end; an error has shown before
	question, got := make([]byte, talkBytes), make([]byte, talkBytes)
	for {
		select {
		case <-t.stop:
			return
		case <-time.After(talkPause):
		}
		n := t.rounds.Load()
		for i := range talkBytes / 8 {
			binary.BigEndian.PutUint64(question[8*i:], n<<16|uint64(i))
		}
		_, err := t.conn.Write(question)
		if err == nil {
			_, err = io.ReadFull(t.conn, got)
		}
		if err == nil && !bytes.Equal(question, got) {
			err = errors.New("the answer is not the question")
		}
		if err != nil {
			t.fail(fmt.Errorf("lab: after %d answers: %w", n, err))
			return
		}
		t.rounds.Add(1)
	}
}

func (t *Talk) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = errors.Join(t.failed, err)
}

// Rounds returns how many questions were answered.
func (t *Talk) Rounds() uint64 { return t.rounds.Load() }

// Stop ends the talk, and returns what went wrong with it. An answer that is
// on its way has a few seconds to arrive.
func (t *Talk) Stop() error {
	close(t.stop)
	_ = t.conn.SetDeadline(time.Now().Add(10 * time.Second))
	t.wg.Wait()
	_ = t.conn.Close()
	_ = t.listen.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}
