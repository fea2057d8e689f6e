package nodes

import (
	"net/netip"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// Probe makes b, which has just come out of the pool, a frame for
// interface-output that asks the neighbour ip on the link of interface i,
// known to be at mac, whether it is still there: an ARP request (RFC 1122,
// section 2.3.2.1) or a neighbor solicitation (RFC 4861, section 7.3.3) to that
// station alone. Control asks so from time to time.
func Probe(b *buf.Buffer, st *state.State, i uint32, ip netip.Addr, mac hdr.MAC) {
	own := st.Ifaces[i].MAC
	b.TxIf = i
	if ip.Is4() {
		fillRequest(b, own, mac, st.Source4(i), hdr.Addr4From(ip))
		return
	}
	to := hdr.Addr6From(ip)
	m := nd{solicit: true, target: to, mac: own}
	m.fill(b, mac, st.LinkSource6(i), to)
}
