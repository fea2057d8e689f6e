package session

import (
	"math/bits"
	"sync/atomic"
)

// A Result is what became of a session that was to be inserted. Each but
// Inserted and Exists is a reason to drop the packet.
type Result uint8

const (
	_          Result = iota
	Inserted          // the Ref is the new session, forward
	Exists            // the Ref is the session that has the forward key
	Conflict          // another session has the reverse key, the Ref is it: translate in another way
	Full              // no place, and no session that could be given up
	OverQuota         // the owner has as many sessions as it may have
	OverHalf          // the owner has as many half-open sessions as it may have
	Midstream         // TCP, but no SYN
	Crowded           // no room in the index near the hash of a key
	NumResults        // 0 is no result
)

// String returns the result in words.
func (r Result) String() string {
	if r >= NumResults {
		return "unknown"
	}
	return resultNames[r]
}

var resultNames = [NumResults]string{
	0: "none", Inserted: "inserted", Exists: "exists", Conflict: "reverse key taken",
	Full: "table full", OverQuota: "owner over quota", OverHalf: "owner over half-open limit",
	Midstream: "no session and no SYN", Crowded: "index crowded",
}

// Insert4 makes a session of a packet that belongs to none. fwd is its key,
// hash is Hash4(fwd), rev the key that answers to it will have: fwd.Swap()
// unless the session is translated; it is of the same protocol. tcp are the flags of its TCP header, 0 for
// other protocols. The packet itself is not counted yet: call Seen for it.
//
// The new session is undecided: Gen, Verdict, Flags and Data are 0. If the
// process dies before they are set, it is undecided in the file as well.
func (t *Table) Insert4(fwd, rev Key4, hash uint64, owner uint16, tcp uint8, now uint32) (Ref, Result) {
	if r := t.Find4(fwd, hash); r != 0 {
		return r, t.count(Exists)
	}
	revHash := t.seed.hash4(rev)
	if r := t.Find4(rev, revHash); r != 0 {
		return r, t.count(Conflict)
	}
	i, res := t.admit(fwd.Proto(), owner, tcp, now)
	if res != Inserted {
		return 0, t.count(res)
	}
	s := &t.records[i]
	s.set4(fwd, rev)
	s.kind = kind4
	return t.link(i, fwd == rev, hash, revHash, now)
}

// Insert6 is Insert4 for IPv6.
func (t *Table) Insert6(fwd, rev *Key6, hash uint64, owner uint16, tcp uint8, now uint32) (Ref, Result) {
	if r := t.Find6(fwd, hash); r != 0 {
		return r, t.count(Exists)
	}
	revHash := t.seed.hash6(rev)
	if r := t.Find6(rev, revHash); r != 0 {
		return r, t.count(Conflict)
	}
	i, res := t.admit(fwd.Proto(), owner, tcp, now)
	if res != Inserted {
		return 0, t.count(res)
	}
	t.set6(i, fwd)
	t.records[i].kind = kind6
	if *rev != fwd.Swap() {
		peer, ok := t.place(now)
		if !ok {
			t.put(i)
			return 0, t.count(Full)
		}
		t.set6(peer, rev)
		t.records[peer].kind = kindMore
		t.rests[peer].peer, t.rests[i].peer = i, peer
		atomic.StoreUint32(&t.rests[peer].check, 1)
		t.records[i].kind = kind6nat
	}
	return t.link(i, *fwd == *rev, hash, revHash, now)
}

func (t *Table) count(r Result) Result {
	t.stats.Results[r]++
	return r
}

// admit decides whether a session may be made, and returns the index of a free
// record that holds all but the keys.
func (t *Table) admit(proto uint8, of uint16, tcp uint8, now uint32) (uint32, Result) {
	seen, ok := opening(proto, tcp, t.midstream)
	if !ok {
		return 0, Midstream
	}
	class := classOf(proto, seen)
	if res := t.underQuota(of, class, now); res != Inserted {
		return 0, res
	}
	i, ok := t.place(now)
	if !ok {
		return 0, Full
	}
	s := &t.records[i]
	s.Last, s.Gen, s.Verdict, s.Flags = now, 0, Undecided, 0
	s.seen, s.class, s.owner = seen, class, of
	s.packets, s.routes, s.bytes = [2]uint16{}, [2]uint16{}, [2]uint32{}
	t.rests[i] = rest{}
	return i, Inserted
}

// link puts a record that is complete but for its commit word into the index
// and commits it. A flow whose two keys are the same has one slot.
func (t *Table) link(i uint32, same bool, fwdHash, revHash uint64, now uint32) (Ref, Result) {
	r := Ref(i << 1)
	ok := t.index.insert(fwdHash, r|Forward)
	if ok && !same && !t.index.insert(revHash, r|Reverse) {
		t.index.remove(fwdHash, r|Forward)
		ok = false
	}
	if !ok {
		t.putAll(i)
		return 0, t.count(Crowded)
	}
	atomic.StoreUint32(&t.rests[i].check, checkOf(fwdHash, revHash))
	t.enrol(i, now)
	return r, t.count(Inserted)
}

// enrol does what is to be done for each session beside record and index.
func (t *Table) enrol(i uint32, now uint32) {
	s := &t.records[i]
	t.stats.Sessions++
	o := &t.owners[s.owner]
	o.sessions++
	if s.class.halfOpen() {
		o.halfOpen++
	}
	if s.class.soft() {
		t.soft.add(i)
		t.stats.Soft++
	}
	t.arm(i, now+t.timeouts[s.class])
}

// checkOf returns the commit word of a session: not 0, and with its keys
// damaged very likely another.
func checkOf(fwdHash, revHash uint64) uint32 {
	return max(1, uint32(fwdHash)^bits.RotateLeft32(uint32(revHash), 1))
}

// hashes returns the hashes of both keys of a session, and whether they are
// the same key.
func (t *Table) hashes(i uint32) (fwd, rev uint64, same bool) {
	s := &t.records[i]
	if s.kind == kind4 {
		f, r := s.key4(Forward), s.key4(Reverse)
		return t.seed.hash4(f), t.seed.hash4(r), f == r
	}
	f, r := t.Key6(Ref(i<<1)), t.Key6(Ref(i<<1|Reverse))
	return t.seed.hash6(&f), t.seed.hash6(&r), f == r
}

// OnDelete has f called of each session of a family that is removed, for whatever
// reason, while it is whole. f must neither insert nor delete.
func (t *Table) OnDelete(ip6 bool, f func(index uint32)) {
	family := 0
	if ip6 {
		family = 1
	}
	t.deleted[family] = f
}

// family returns 1 for a session of IPv6, else 0.
func (s *Session) family() int {
	if s.IsIPv6() {
		return 1
	}
	return 0
}

// Delete removes a session, whose index Next, Gone or a Ref has given.
func (t *Table) Delete(i uint32) {
	s := &t.records[i]
	if s.kind == kindFree || s.kind == kindMore {
		return
	}
	if deleted := t.deleted[s.family()]; deleted != nil {
		deleted(i)
	}
	fwd, rev, same := t.hashes(i)
	atomic.StoreUint32(&t.rests[i].check, 0)
	t.index.remove(fwd, Ref(i<<1|Forward))
	if !same {
		t.index.remove(rev, Ref(i<<1|Reverse))
	}
	t.stats.Sessions--
	o := &t.owners[s.owner]
	o.sessions--
	if s.class.halfOpen() {
		o.halfOpen--
	}
	if s.class.soft() {
		t.soft.remove(i)
		t.stats.Soft--
	}
	t.putAll(i)
}

// take returns the index of a free record, 0 if there is none.
func (t *Table) take() uint32 {
	if i := t.free; i != 0 {
		t.free = t.due[i] &^ isFree
		t.due[i] = never
		return i
	}
	if t.fresh > t.capacity {
		return 0
	}
	i := t.fresh
	t.fresh++
	t.due[i] = never
	return i
}

// put makes a record free.
func (t *Table) put(i uint32) {
	atomic.StoreUint32(&t.rests[i].check, 0)
	t.records[i].kind = kindFree
	t.due[i] = isFree | t.free
	t.free = i
}

// putAll makes the record of a session free, or both if it has two.
func (t *Table) putAll(i uint32) {
	if t.records[i].kind == kind6nat {
		t.put(t.rests[i].peer)
	}
	t.put(i)
}
