package iface

import (
	"math"
	"testing"
)

func TestLimit(t *testing.T) {
	for _, test := range []struct{ got, want Limit }{
		{Bandwidth(0, 0), Limit{}},
		{Bandwidth(8e6, 80e3), Limit{PerByte: 1e6, Depth: 10e6}},
		{Bandwidth(100e9, 8e9), Limit{PerByte: 80, Depth: 80e6}},
		{Bandwidth(1, 8000), Limit{PerByte: 8e9, Depth: 8e9}}, // as 1 kbit/s
		{Bandwidth(1e9, 0), Limit{PerByte: 8000, Depth: 1}},
		{Bandwidth(math.MaxUint64, 1), Limit{}},
		{Bandwidth(1000, math.MaxUint64), Limit{PerByte: 8e9, Depth: 86400e9}},
		{PacketRate(0, 0), Limit{}},
		{PacketRate(1e6, 100), Limit{PerPacket: 1e6, Depth: 100e3}},
		{PacketRate(1, math.MaxUint64), Limit{PerPacket: 1e12, Depth: 86400e9}},
	} {
		if test.got != test.want {
			t.Errorf("got %+v, want %+v", test.got, test.want)
		}
	}
}
