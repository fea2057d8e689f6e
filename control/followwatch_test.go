package control

import (
	"encoding/binary"
	"math/rand/v2"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Only news of the interface wake the follower, and no message harms it.
func TestAbout(t *testing.T) {
	const index = 7
	word := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	attr := func(kind uint16, value []byte) []byte {
		head := binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, uint16(4+len(value))), kind)
		return append(head, value...)
	}
	routeOf := func(attrs ...byte) []byte { return append(make([]byte, unix.SizeofRtMsg), attrs...) }
	message := func(kind uint16, data []byte) syscall.NetlinkMessage {
		return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: data}
	}
	tests := []struct {
		name string
		m    syscall.NetlinkMessage
		want bool
	}{
		{"its link", message(unix.RTM_NEWLINK, append(make([]byte, 4), word(index)...)), true},
		{"another link", message(unix.RTM_NEWLINK, append(make([]byte, 4), word(8)...)), false},
		{"its address", message(unix.RTM_DELADDR, append(make([]byte, 4), word(index)...)), true},
		{"its route", message(unix.RTM_NEWROUTE, routeOf(attr(unix.RTA_OIF, word(index))...)), true},
		{"another's route", message(unix.RTM_NEWROUTE, routeOf(attr(unix.RTA_OIF, word(8))...)), false},
		{"several next hops", message(unix.RTM_DELROUTE, routeOf(attr(unix.RTA_MULTIPATH, word(0))...)), true},
		{"a route without an interface", message(unix.RTM_NEWROUTE, routeOf()), false},
		{"cut off", message(unix.RTM_NEWLINK, make([]byte, 7)), false},
		{"of another kind", message(unix.RTM_NEWNEIGH, append(make([]byte, 4), word(index)...)), false},
	}
	for _, test := range tests {
		if got := about(test.m, index); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		data := make([]byte, rnd.IntN(64))
		for i := range data {
			data[i] = byte(rnd.IntN(20))
		}
		about(message(uint16(unix.RTM_NEWLINK+rnd.IntN(12)), data), index)
	}
}
