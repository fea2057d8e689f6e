package iface

import "math"

// A Limit is how much may pass an interface in one direction: a token bucket
// whose content is time. The zero Limit lets everything pass.
type Limit struct {
	PerByte   int64 // picoseconds that a byte costs
	PerPacket int64 // picoseconds that a packet costs; what costs more holds
	Depth     int64 // nanoseconds that the bucket holds: the burst
}

// What a rate may be: from what a modem gives, so that no sum of costs
// overflows, to what no device gives, which is no limit.
const minRate, maxRate = 1000, 1e13

// Bandwidth returns the limit to a rate in bits per second, with a burst in
// bits. A rate of 0 is no limit, and one below 1,000 is 1,000.
func Bandwidth(rate, burst uint64) Limit {
	if rate == 0 || rate > maxRate {
		return Limit{}
	}
	perByte := 8e12 / float64(max(rate, minRate))
	return Limit{PerByte: int64(math.Round(perByte)), Depth: depth(float64(burst) / 8 * perByte)}
}

// PacketRate returns the limit to a rate in packets per second, with a burst
// in packets. A rate of 0 is no limit.
func PacketRate(rate, burst uint64) Limit {
	if rate == 0 || rate > maxRate {
		return Limit{}
	}
	perPacket := 1e12 / float64(rate)
	return Limit{PerPacket: int64(math.Round(perPacket)), Depth: depth(float64(burst) * perPacket)}
}

// depth turns picoseconds into a bucket's nanoseconds, of which there is one
// at least and a day at most.
func depth(ps float64) int64 { return int64(min(max(ps/1000, 1), 86400e9)) }
