package dhcprelay

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/skein-dataplane/skein/hdr"
)

// A link is a pod's device.
type link struct {
	name  string // of the host's side
	mac   hdr.MAC
	file  *os.File
	asked [4]byte // xid of the last question
	bound bool    // client is known
	// client identifies whom the pod's lease is for: who asks first, which is the
	// runtime, before anything runs in the pod. Another would take a second
	// lease, and a third.
	client []byte
	tokens float64
	filled time.Time

	Counters // guarded by Relay.mu
}

// What a pod may ask: an exchange is two questions, and clients repeat one
// after some 4 s, or, as containernetworking's, after 2 (RFC 2131, section 4.1).
const (
	perSecond = 2.0
	burst     = 10.0
)

// mayAsk takes a token, if there is one.
func (l *link) mayAsk(now time.Time) bool {
	l.tokens = min(burst, l.tokens+perSecond*now.Sub(l.filled).Seconds())
	l.filled = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// accept checks that a message is a client's on this device, and of the one
// client that there is. One that comes by a relay, or says so, is not (RFC
// 3046, section 2.1).
func (l *link) accept(m message) error {
	_, _, relayed := m.find(optRelay)
	switch {
	case m.op() != bootRequest:
		return errors.New("a pod that answers")
	case m.chaddr() != l.mac:
		return fmt.Errorf("client %s, which is not the pod", net.HardwareAddr(m[28:34]))
	case relayed || m.hops() != 0 || !m.giaddr().IsUnspecified():
		return errors.New("a pod that relays")
	}
	switch k := m.kind(); k {
	case typeDiscover, typeRequest, typeDecline, typeRelease, typeInform:
	default:
		return fmt.Errorf("message type %d, which is no client's", k)
	}
	id := m.value(optClientID)
	if l.bound && !bytes.Equal(id, l.client) {
		return fmt.Errorf("a second client, %q", id)
	}
	l.bound, l.client = true, bytes.Clone(id)
	return nil
}
