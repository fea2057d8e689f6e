package drivers

// A Missing is the error of a driver that needs what this machine does not
// give, such as a kernel option, a capability or a smaller MTU.
type Missing struct {
	What   string // "AF_XDP sockets"
	Remedy string // what to do about it, in one sentence without a full stop
	Err    error  // what the kernel said, if it was asked
}

func (m *Missing) Error() string {
	s := "needs " + m.What + ": " + m.Remedy
	if m.Err != nil {
		s += ": " + m.Err.Error()
	}
	return s
}

func (m *Missing) Unwrap() error { return m.Err }
