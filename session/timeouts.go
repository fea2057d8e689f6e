package session

// A Class is a kind of session with a timeout of its own.
type Class uint8

const (
	NoClass        Class = iota
	TCPHalfOpen          // the handshake is not complete
	TCPEstablished       //
	TCPHalfClosed        // one side has sent FIN
	TCPClosing           // both have, or one has sent RST
	UDPUnreplied         //
	UDPReplied           //
	ICMPUnreplied        // echo
	ICMPReplied          //
	OtherUnreplied       // SCTP and whatever else
	OtherReplied         //
	NumClasses
)

// String returns the class in words.
func (c Class) String() string {
	if c >= NumClasses {
		return "unknown"
	}
	return classNames[c]
}

var classNames = [NumClasses]string{
	NoClass: "none", TCPHalfOpen: "half-open", TCPEstablished: "established",
	TCPHalfClosed: "half-closed", TCPClosing: "closing",
	UDPUnreplied: "unreplied", UDPReplied: "replied",
	ICMPUnreplied: "unreplied", ICMPReplied: "replied",
	OtherUnreplied: "unreplied", OtherReplied: "replied",
}

// halfOpen reports whether only one side has been heard of, so that a sender
// with a forged source could have made the session.
func (c Class) halfOpen() bool {
	switch c {
	case TCPHalfOpen, UDPUnreplied, ICMPUnreplied, OtherUnreplied:
		return true
	}
	return false
}

// soft reports whether a session of this class may be given up for a new one.
func (c Class) soft() bool { return c == TCPClosing || c.halfOpen() }

// Timeouts are the seconds without a packet after which a session of each
// class is removed.
type Timeouts [NumClasses]uint32

// maxTimeout keeps deadlines apart from the marks in due, in seconds: a year.
const maxTimeout = 365 * 24 * 3600

// DefaultTimeouts returns the timeouts that the standards ask for at least.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		// RFC 5382, section 5, REQ-5: partially open or closing at least 4
		// minutes, established at least 2 hours and 4 minutes. A connection of
		// which one side only has sent FIN may go on for as long as it likes
		// (RFC 6146, section 3.5.2.2, V4 FIN RCV).
		TCPHalfOpen:    240,
		TCPEstablished: 7440,
		TCPHalfClosed:  7440,
		TCPClosing:     240,
		// RFC 4787, section 4.3, REQ-5: at least 2 minutes, 5 recommended.
		UDPUnreplied: 120,
		UDPReplied:   300,
		// RFC 5508, section 3.2, REQ-2: at least 60 seconds.
		ICMPUnreplied: 60,
		ICMPReplied:   60,
		// Linux, nf_conntrack_generic_timeout. An idle SCTP association sends a
		// heartbeat every 30 seconds (RFC 9260, section 16).
		OtherUnreplied: 60,
		OtherReplied:   600,
	}
}

// orDefault fills in what is 0, and cuts what is too much.
func (t Timeouts) orDefault() Timeouts {
	for c, d := range DefaultTimeouts() {
		if t[c] == 0 {
			t[c] = d
		}
		t[c] = min(t[c], maxTimeout)
	}
	return t
}
