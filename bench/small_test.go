package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// burstTime is how long a flood or a conversation lasts.
const burstTime = 500 * time.Millisecond

// BenchmarkSmall measures UDP with payloads of 22 bytes, 64 on Ethernet, that one
// or two senders in a pod send as fast as they can, one system call each: how
// many a socket in the other pod receives.
func BenchmarkSmall(b *testing.B) {
	skein, kernel := pairs(b, "")
	for _, senders := range []int{1, 2} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			for b.Loop() {
				rivals(b, "kpps", "kernel", func() float64 { return flood(b, skein.PodA, skein.PodB, senders, 22) },
					func() float64 { return flood(b, kernel.PodA, kernel.PodB, senders, 22) })
			}
		})
	}
}

// BenchmarkRoundTrip measures one request of a byte at a time over TCP, from pod
// to pod.
func BenchmarkRoundTrip(b *testing.B) {
	skein, kernel := pairs(b, "")
	for b.Loop() {
		rivals(b, "µs", "kernel", func() float64 { return converse(b, skein.PodA, skein.PodB) },
			func() float64 { return converse(b, kernel.PodA, kernel.PodB) })
	}
}

// pairs returns two pods of Skein, with lines of configuration, and two of the
// kernel.
func pairs(b *testing.B, config string) (*tour.Tour, *lab.KernelPair) {
	b.Helper()
	skein := startSkein(b, tour.Options{Driver: "af_packet", Config: config})
	kernel, err := lab.ForTest(b).KernelPair()
	lab.Need(b, err)
	return skein, kernel
}

// flood returns how many thousand datagrams of a size arrive in a second.
func flood(b *testing.B, from, to *lab.Namespace, senders, size int) float64 {
	b.Helper()
	in, err := to.ListenUDP(netip.AddrPortFrom(netip.MustParseAddr(lab.OtherPodAddr), 0))
	lab.Need(b, err)
	defer in.Close()
	lab.Need(b, in.SetReadBuffer(4<<20))
	dst := in.LocalAddr().(*net.UDPAddr).AddrPort()
	end := time.Now().Add(burstTime)
	lab.Need(b, in.SetReadDeadline(end))
	var wg sync.WaitGroup
	for range senders {
		out, err := from.DialUDP(dst)
		lab.Need(b, err)
		defer out.Close()
		wg.Go(func() {
			payload := make([]byte, size)
			for i := 0; i&63 != 0 || time.Now().Before(end); i++ {
				_, _ = out.Write(payload) // what the sender's own queue drops did not arrive
			}
		})
	}
	count, buf := 0, make([]byte, size)
	for {
		if _, err := in.Read(buf); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				b.Fatal(err)
			}
			break
		}
		count++
	}
	wg.Wait()
	return float64(count) / burstTime.Seconds() / 1000
}

// converse returns the microseconds that a question and its answer take.
func converse(b *testing.B, from, to *lab.Namespace) float64 {
	b.Helper()
	ln, err := to.ListenTCP(netip.AddrPortFrom(netip.MustParseAddr(lab.OtherPodAddr), 0))
	lab.Need(b, err)
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			_, _ = io.Copy(c, c) // ends with the connection
			_ = c.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	c, err := from.DialTCP(ctx, ln.Addr().(*net.TCPAddr).AddrPort())
	lab.Need(b, err)
	defer c.Close()
	lab.Need(b, c.SetDeadline(time.Now().Add(10*time.Second)))
	one := make([]byte, 1)
	start, rounds := time.Now(), 0
	for ; time.Since(start) < burstTime; rounds++ {
		if _, err := c.Write(one); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, one); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(start).Microseconds()) / float64(rounds)
}
