// Package acl answers one question: may this packet pass, and which rule says
// so?
//
// A RuleSet is what policy asks for: tiers of policies of rules, then profiles.
// Compile turns it into a Program, which never changes and which any number of
// workers may ask at once. Sets of addresses live apart, in a Store that hands
// out snapshots (Sets): a pod that comes or goes changes the snapshot that all
// Programs share, and no Program.
//
// A Program is one bit vector for each class of source addresses, destination
// addresses, and protocols with ports (Lakshman and Stiliadis, SIGCOMM 1998), cut
// into blocks of one cache line, with a summary of the blocks that are not empty
// (Baboescu and Varghese, SIGCOMM 2001). Bits are rules in their order. A packet
// takes one vector of each kind; the first bit they share is the first rule that
// may match. If that rule says more, of sets or of source ports, these are looked up
// and the search goes on from it, with what they say or-ed in; else they never are.
// The cost is that of three range lookups and of the blocks that all three have; at
// worst, for each 512 rules, of one cache line for each kind of condition and each
// set that the packet is in. A Batch takes all packets of a vector through each step
// before the next, so that cache misses overlap.
//
// In vectors of 256, on a 2-core Zen 5 VM (BenchmarkMatchVector, medians), that is
// 14 to 32 ns per packet for 1 to 1,000 rules of two masks and 52 for 10,000; 16
// to 45 and 80 for mixed prefixes and port ranges. A first packet alone at 10,000
// rules with 100 sets of 1,000 members takes 170 to 230 ns (BenchmarkMatch); 9 µs
// if its addresses are in 50 of these sets each and all rules fit in part
// (BenchmarkWorst).
//
// Maturity: complete for what Kubernetes' and Calico's policies need of single
// packets, checked against a walk of the rules, and in use by ip4-policy and its
// like.
package acl

import "strconv"

// An Action is what a rule does with a packet that it matches. The zero Action
// means that nobody has said, and lets nothing pass.
type Action uint8

const (
	Undecided Action = iota
	Allow            // let it pass
	Deny             // drop it
	Pass             // leave this tier, and ask the next one
	Log              // tell, and go on with the next rule
	numActions
)

var actionNames = [numActions]string{"undecided", "allow", "deny", "pass", "log"}

func (a Action) String() string {
	if a >= numActions {
		return "action " + strconv.Itoa(int(a))
	}
	return actionNames[a]
}

// A Reason says what decided.
type Reason uint8

const (
	NoReason Reason = iota
	ByRule          // a rule matched
	ByTier          // no rule of a tier that has policies matched: its default
	ByNobody        // no rule matched at all, not even a profile's
	numReasons
)

var reasonNames = [numReasons]string{"undecided", "rule", "no rule matched, default of the tier", "no rule matched"}

func (r Reason) String() string {
	if r >= numReasons {
		return "reason " + strconv.Itoa(int(r))
	}
	return reasonNames[r]
}

const (
	// NoRule stands where there is no rule.
	NoRule = ^uint32(0)
	// NoPolicy stands where no policy decided.
	NoPolicy = ^uint16(0)
)

// A Verdict is the answer for one packet. The zero Verdict lets nothing pass.
type Verdict struct {
	Action Action // Allow or Deny
	Reason Reason
	Tier   uint16 // index in RuleSet.Tiers; their number for profiles and after
	Policy uint16 // index in Tier.Policies or RuleSet.Profiles, or NoPolicy
	_      uint16
	Rule   uint32 // the number of what decided: Program.Rule says what it is
	Log    uint32 // the number of the first Log rule on the way, or NoRule
}
