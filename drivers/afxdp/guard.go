package afxdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/drivers"
)

// The rule that the program goes by: words of 8 bytes in host order.
const (
	ruleDeny4 = 0  // not 0: deny4 has prefixes
	ruleDeny6 = 8  // not 0: deny6 has prefixes
	ruleFull  = 16 // when the bucket will be full again
	ruleCost  = 24 // what a packet takes from it
	ruleDepth = 32 // what it holds; 0: no limit
	ruleSize  = 64 // a cache line
)

// fraction is how many bits of a time in the rule are below a nanosecond: at
// 10 million packets per second that is 0.03 % of a packet's cost. So times last
// for 36 years of uptime.
const fraction = 4

// The counters of a queue, in a cache line of their own.
const (
	dropDenied  = 0
	dropLimited = 8
	dropSize    = 64
)

// listSize is how many prefixes fit into a list: the new ones come in before
// those that are denied no more go.
const listSize = 2 * drivers.MaxDeny

// A guard is what the program drops, and how much it has. The kernel's side of
// it ends with the program.
type guard struct {
	mu           sync.Mutex
	deny4, deny6 *ebpf.Map // longest-prefix-match tries
	rule, drops  *ebpf.Map // arrays: of one, and of the queues
	ruleMem      *ebpf.Memory
	dropsMem     *ebpf.Memory
	denied       map[netip.Prefix]bool // what the lists have
	queues       int
	closed       bool
}

// open makes the maps of an interface with so many queues.
func (g *guard) open(queues uint32) (err error) {
	g.denied, g.queues = map[netip.Prefix]bool{}, int(queues)
	for _, m := range []struct {
		to                          **ebpf.Map
		name                        string
		typ                         ebpf.MapType
		key, value, entries, option uint32
	}{
		{&g.deny4, "skein_deny4", ebpf.LPMTrie, 4 + 4, 1, listSize, unix.BPF_F_NO_PREALLOC},
		{&g.deny6, "skein_deny6", ebpf.LPMTrie, 4 + 16, 1, listSize, unix.BPF_F_NO_PREALLOC},
		{&g.rule, "skein_rule", ebpf.Array, 4, ruleSize, 1, unix.BPF_F_MMAPABLE},
		{&g.drops, "skein_drops", ebpf.Array, 4, dropSize, queues, unix.BPF_F_MMAPABLE},
	} {
		if *m.to, err = newMap(m.name, m.typ, m.key, m.value, m.entries, m.option); err != nil {
			return fmt.Errorf("map %s: %w", m.name, err)
		}
	}
	if g.ruleMem, err = g.rule.Memory(); err != nil {
		return fmt.Errorf("map of the rule: %w", err)
	}
	if g.dropsMem, err = g.drops.Memory(); err != nil {
		return fmt.Errorf("map of the drops: %w", err)
	}
	return nil
}

func (g *guard) close() (failed error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, m := range []*ebpf.Map{g.deny4, g.deny6, g.rule, g.drops} {
		failed = errors.Join(failed, m.Close()) // of nil as well
	}
	return failed
}

// SetGuard implements drivers.Guarded.
func (d *Device) SetGuard(to drivers.Guard) error {
	if err := d.guard.set(to); err != nil {
		return fmt.Errorf("afxdp: guard: %w", err)
	}
	return nil
}

func (g *guard) set(to drivers.Guard) error {
	wanted, err := denySet(to.Deny)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errors.New("the device is closed")
	}
	if err := g.deny(wanted); err != nil {
		return err
	}
	g.limit(to.PerPacket, to.Depth)
	return nil
}

// denySet checks prefixes.
func denySet(all []netip.Prefix) (map[netip.Prefix]bool, error) {
	if len(all) > drivers.MaxDeny {
		return nil, fmt.Errorf("%d prefixes to deny: at most %d are possible", len(all), drivers.MaxDeny)
	}
	set := make(map[netip.Prefix]bool, len(all))
	for _, p := range all {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%s is no prefix that can be denied", p)
		}
		set[p] = true
	}
	return set, nil
}

// deny brings the lists to what is wanted: first what is new, then what goes.
// If the kernel refuses what is new, that is taken back. g.mu is held.
func (g *guard) deny(wanted map[netip.Prefix]bool) error {
	var added []netip.Prefix
	for p := range wanted {
		if g.denied[p] {
			continue
		}
		err := g.list(p).Put(listKey(p), []byte{1})
		if err != nil {
			for _, a := range added {
				err = errors.Join(err, g.undeny(a))
			}
			return fmt.Errorf("deny %s: %w", p, err)
		}
		g.denied[p] = true
		added = append(added, p)
	}
	g.tell() // before anything goes: lists without prefixes are not looked at
	var failed error
	for p := range g.denied {
		if !wanted[p] {
			failed = errors.Join(failed, g.undeny(p))
		}
	}
	g.tell()
	if failed != nil {
		return fmt.Errorf("what is new is denied, and some of what is no more still is: %w", failed)
	}
	return nil
}

func (g *guard) undeny(p netip.Prefix) error {
	if err := g.list(p).Delete(listKey(p)); err != nil {
		return fmt.Errorf("let %s pass: %w", p, err)
	}
	delete(g.denied, p)
	return nil
}

func (g *guard) list(p netip.Prefix) *ebpf.Map {
	if p.Addr().Is4() {
		return g.deny4
	}
	return g.deny6
}

// listKey returns struct bpf_lpm_trie_key (linux/bpf.h).
func listKey(p netip.Prefix) []byte {
	return append(binary.NativeEndian.AppendUint32(nil, uint32(p.Bits())), p.Addr().AsSlice()...)
}

// tell has the program look at the lists that are not empty.
func (g *guard) tell() {
	var has4, has6 uint64
	for p := range g.denied {
		if p.Addr().Is4() {
			has4 = 1
		} else {
			has6 = 1
		}
	}
	g.write(ruleDeny4, has4, has6)
}

// limit sets the bucket's measures. A bucket that has other ones than before is
// full.
func (g *guard) limit(perPacket, depth int64) {
	cost := uint64(max(perPacket, 0)) << fraction
	cost = (cost + 500) / 1000 // picoseconds to nanoseconds
	if was := g.read(ruleCost); was == [2]uint64{cost, uint64(depth) << fraction} {
		return
	}
	g.write(ruleDepth, 0)
	g.write(ruleFull, 0, cost)
	g.write(ruleDepth, uint64(max(depth, 0))<<fraction)
}

// write stores words of the rule. The program sees each of them whole.
func (g *guard) write(at int64, words ...uint64) {
	for i, w := range words {
		var b [8]byte
		binary.NativeEndian.PutUint64(b[:], w)
		_, _ = g.ruleMem.WriteAt(b[:], at+int64(8*i)) // which is within it
	}
}

// read returns two words of the rule.
func (g *guard) read(at int64) (words [2]uint64) {
	var b [16]byte
	_, _ = g.ruleMem.ReadAt(b[:], at)
	return [2]uint64{binary.NativeEndian.Uint64(b[:8]), binary.NativeEndian.Uint64(b[8:])}
}

// dropped adds what has been dropped at a queue. The first one's are those of
// the queues that no socket serves as well. It makes no system call.
func (g *guard) dropped(queue, served int, s *drivers.Stats) {
	add := func(q int) {
		var b [16]byte
		_, _ = g.dropsMem.ReadAt(b[:], int64(q)*dropSize) // which is within it
		s.RxDenied += binary.NativeEndian.Uint64(b[dropDenied:])
		s.RxLimited += binary.NativeEndian.Uint64(b[dropLimited:])
	}
	add(queue)
	if queue != 0 {
		return
	}
	for q := served; q < g.queues; q++ {
		add(q)
	}
}

var _ drivers.Guarded = (*Device)(nil)
