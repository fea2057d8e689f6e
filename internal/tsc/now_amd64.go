package tsc

// Now returns the time stamp counter.
func Now() uint64
