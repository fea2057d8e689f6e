package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// StoredCapacity returns for how many sessions the file of a table was made, 0
// if the header is not whole: Open says why. It wraps os.ErrNotExist if there
// is no file.
func StoredCapacity(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("session: %w", err)
	}
	defer f.Close()
	var h [headerLen]byte
	if _, err := io.ReadFull(f, h[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("session: %s: read header: %w", path, err)
	}
	o := binary.NativeEndian
	capacity := o.Uint64(h[24:])
	if string(h[0:8]) != fileMagic || o.Uint32(h[80:]) != crc32.ChecksumIEEE(h[:80]) || capacity > MaxCapacity {
		return 0, nil
	}
	return int(capacity), nil
}

// Adopt takes session i of another table over, as it is in a file: undecided,
// with its counters and what has been seen of it. It reports false if another
// session has one of its keys, or there is no place. No quota holds: it was
// counted against its owner when it was opened.
func (t *Table) Adopt(from *Table, i, now uint32) bool {
	s := &from.records[i]
	fwd, rev, same := Ref(i<<1|Forward), Ref(i<<1|Reverse), false
	var fwdHash, revHash uint64
	if s.kind == kind4 {
		f, r := from.Key4(fwd), from.Key4(rev)
		fwdHash, revHash, same = t.Hash4(f), t.Hash4(r), f == r
		if t.Find4(f, fwdHash) != 0 || t.Find4(r, revHash) != 0 {
			return false
		}
	} else {
		f, r := from.Key6(fwd), from.Key6(rev)
		fwdHash, revHash, same = t.Hash6(&f), t.Hash6(&r), f == r
		if t.Find6(&f, fwdHash) != 0 || t.Find6(&r, revHash) != 0 {
			return false
		}
	}
	at, ok := t.place(now)
	if !ok {
		return false
	}
	if !t.copyFrom(at, from, i, now) {
		return false
	}
	if _, res := t.link(at, same, fwdHash, revHash, now); res != Inserted {
		return false
	}
	t.stats.Results[Inserted]-- // it was inserted in another life
	a := &t.records[at]
	t.arm(at, a.Last+t.timeouts[a.class])
	return true
}

// copyFrom makes record at, and a second one where it takes two, what from has
// of session i. Where there is no place for the second the first is free again.
func (t *Table) copyFrom(at uint32, from *Table, i, now uint32) bool {
	t.rests[at] = rest{key: from.rests[i].key, bytes: from.rests[i].bytes, packets: from.rests[i].packets}
	if from.records[i].kind == kind6nat {
		peer, ok := t.place(now)
		if !ok {
			t.put(at)
			return false
		}
		reverse := from.Key6(Ref(i<<1 | Reverse))
		t.rests[peer] = rest{peer: at, check: 1}
		t.set6(peer, &reverse)
		t.records[peer].kind = kindMore
		t.rests[at].peer = peer
	}
	s := &t.records[at]
	*s = from.records[i]
	s.Last = min(s.Last, now)
	s.Gen, s.Verdict, s.routes = 0, Undecided, [2]uint16{}
	return true
}
