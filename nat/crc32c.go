package nat

// The CRC32c of SCTP, Castagnoli's polynomial, as polynomials over GF(2) modulo
// it. As in the checksum itself the lowest power stands in the highest bit.
const (
	castagnoli = 0x82f63b78
	one        = 1 << 31 // x^0
)

// crcPowers are x^(8·n) for the low and the high byte of a length n.
var crcPowers = makeCRCPowers()

func makeCRCPowers() (t [2][256]uint32) {
	x8 := uint32(1 << 23)
	t[0][0], t[1][0] = one, one
	for i := 1; i < 256; i++ {
		t[0][i] = crcMul(t[0][i-1], x8)
	}
	x2048 := crcMul(t[0][255], x8)
	for i := 1; i < 256; i++ {
		t[1][i] = crcMul(t[1][i-1], x2048)
	}
	return t
}

// crcMul multiplies two polynomials.
func crcMul(a, b uint32) (product uint32) {
	for range 32 {
		product ^= b & -(a >> 31)
		a <<= 1
		b = b>>1 ^ castagnoli&-(b&1)
	}
	return product
}

// crcShift returns by what the checksum of a message of n bytes, less than
// 64 Ki, changes when its first four, read with the lowest first, change by d:
// d·x^(8n), as the four bytes have n-4 others behind them and the division
// appends 32 zero bits.
func crcShift(d uint32, n int) uint32 {
	return crcMul(crcMul(d, crcPowers[0][n&0xff]), crcPowers[1][n>>8&0xff])
}
