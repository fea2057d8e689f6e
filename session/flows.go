package session

// Flows is what one worker knows of flows: those that are decided, those that
// are about to be, and which packets the fragments under way belong to.
//
// It is the worker's. Whoever wants to show or clear sessions walks them by
// graph.Worker.Do with Next, At, Key4 and Key6, Counts and Delete; some thousand
// in one Do, as the worker forwards nothing meanwhile, and from there on in the
// next: an index is not moved, but may have become another session's.
type Flows struct {
	*Table
	Frags4, Frags6 *Frags
	Drafts4        Drafts[Key4]
	Drafts6        Drafts[Key6]
}

// FragRoom is how many fragmented packets of one family may be under way.
const FragRoom = 1024

// NewFlows returns the flows of a worker whose sessions t holds.
func NewFlows(t *Table) (*Flows, error) {
	f := &Flows{Table: t}
	var err error
	if f.Frags4, err = NewFrags(FragRoom); err != nil {
		return nil, err
	}
	f.Frags6, err = NewFrags(FragRoom)
	return f, err
}

// BeginSweep forgets all drafts.
func (f *Flows) BeginSweep() { f.Drafts4.n, f.Drafts6.n = 0, 0 }

// A Draft is a packet whose flow is to be judged: what is known and wanted of
// it, from the node that has missed a verdict to the one that opens the
// session. Each node on the way fills in its part:
//
//   - ip4-session sets all but Data and Flags.
//   - ip4-service sets Out's destination and its port.
//   - ip4-policy asks by Key's source and Out's destination, and opens nothing if
//     policy has no say at either end and Out is Key.
//   - ip4-masquerade sets Out's source and its port.
//   - ip4-open makes the session of Key and Out.Swap(), with Data and Flags.
//
// If Session is not 0 there is one already, of a policy that has changed. Key
// and Out are then its keys forward, as they were when it was opened, also if the
// packet goes in reverse.
type Draft[K Key4 | Key6] struct {
	Key     K      // the packet as it came; of an ICMP error its own addresses
	Out     K      // the packet as it is to leave
	Hash    uint64 // of Key
	Session Ref    // in the packet's direction
	Part    Part   // Whole; Related or Alone open no session
	TCP     uint8  // flags, 0 for other protocols
	Type    uint8  // of ICMP, of the packet that Key describes
	Code    uint8
	Flags   uint16    // for Session.Flags
	Data    [2]uint32 // for Table.Data
}

// draftMark tells the index of a draft from a Ref: MaxCapacity leaves it free.
const draftMark = 1 << 31

// DraftRoom is how many packets of one family can be judged in one sweep: all
// that it takes in, and as many that had been kept.
const DraftRoom = 512

// Drafts are the drafts of one sweep. They are void at its end.
type Drafts[K Key4 | Key6] struct {
	all [DraftRoom]Draft[K]
	n   uint32
}

// New returns an empty draft, and what refers to it in buf.Buffer.Flow; nil if
// there are DraftRoom already.
func (d *Drafts[K]) New() (*Draft[K], uint32) {
	if d.n == DraftRoom {
		return nil, 0
	}
	i := d.n
	d.n++
	d.all[i] = Draft[K]{}
	return &d.all[i], draftMark | i
}

// At returns the draft that New has given flow for.
func (d *Drafts[K]) At(flow uint32) *Draft[K] { return &d.all[flow%DraftRoom] }

// IsDraft reports whether a packet's Flow refers to a draft and not to a
// session.
func IsDraft(flow uint32) bool { return flow&draftMark != 0 }
