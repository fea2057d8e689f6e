//go:build !amd64 && !arm64

package tsc

import "time"

var start = time.Now()

// Now returns the nanoseconds since the program began: this processor's
// counter is not known.
func Now() uint64 { return uint64(time.Since(start)) }
