package tsc

// Now returns the virtual counter.
func Now() uint64
