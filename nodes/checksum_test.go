package nodes

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/skein-dataplane/skein/buf"
)

// A pod's kernel leaves SCTP's CRC32c to the device, as it does with sums.
func TestFinishSCTP(t *testing.T) {
	pool, err := buf.NewPool(1024, 64)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]*buf.Buffer, 1)
	if pool.Get(got) != 1 {
		t.Fatal("no buffer")
	}
	b, p := got[0], make([]byte, 61)
	for i := range p {
		p[i] = byte(i * 7)
	}
	b.Set(p)
	want := bytes.Clone(p[20:])
	binary.LittleEndian.PutUint32(want[8:], 0)
	binary.LittleEndian.PutUint32(want[8:], crc32.Checksum(want, crc32.MakeTable(crc32.Castagnoli)))
	b.Flags |= buf.CsumPartial
	b.CsumStart, b.CsumOffset = uint16(b.Off()+20), 8
	if !finishChecksum(b) || !bytes.Equal(b.Bytes()[20:], want) || b.Flags&buf.CsumPartial != 0 {
		t.Errorf("finished as % x, want % x", b.Bytes()[20:], want)
	}
	b.Flags |= buf.CsumPartial
	b.CsumStart = uint16(b.Off() + 50)
	if finishChecksum(b) {
		t.Error("a header that is cut off was finished")
	}
}
