package redirect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// answerLimit is how long the kernel may take. A kernel without nf_tables
	// answers a batch once, not for each message in it, and so would be waited
	// for forever.
	answerLimit = 3 * time.Second
	// elements is how many go into one message, whose list is at most 64 KiB
	// (the length of an attribute, struct nlattr); one takes up to 84 bytes.
	elements = 500
	// elementSize is above what one takes with its part of the message, and
	// batchSize above what the rest of a batch does. A batch is one datagram.
	elementSize, batchSize = 128, 1 << 16
)

// open returns a connection that takes a batch with so many elements.
func open(n int) (*nftables.Conn, error) {
	conn, err := nftables.New(nftables.WithSockOptions(
		func(c *netlink.Conn) error { return c.SetReadDeadline(time.Now().Add(answerLimit)) },
		func(c *netlink.Conn) error { return c.SetWriteBuffer(batchSize + n*elementSize) },
	))
	if err != nil {
		return nil, because("open netfilter's socket", err, unix.EPROTONOSUPPORT)
	}
	return conn, nil
}

// present reports whether there is a table.
func present() (bool, error) {
	conn, err := open(0)
	if err != nil {
		return false, err
	}
	all, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, because("list tables", err, unix.EINVAL) // nobody has registered for that
	}
	return slices.ContainsFunc(all, func(t *nftables.Table) bool { return t.Name == TableName }), nil
}

// standing returns an error if the table is not there with so many elements:
// "nft flush ruleset" removes it, "nft flush table" empties it.
func standing(want int) error {
	conn, err := open(0)
	if err != nil {
		return err
	}
	chain := output()
	rules, err := conn.GetRules(chain.Table, chain)
	if err != nil {
		return fmt.Errorf("redirect: look at the table %s: %w", TableName, err)
	}
	has := 0
	for _, m := range families() {
		all, err := conn.GetSetElements(m.set)
		if err != nil {
			return fmt.Errorf("redirect: look at the map %s: %w", m.set.Name, err)
		}
		has += len(all)
	}
	if len(rules) != len(families()) || has != want {
		return errors.New("redirect: somebody has changed the table " + TableName)
	}
	return nil
}

func output() *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return &nftables.Chain{Name: "output", Table: inet(), Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookOutput,
		Priority: nftables.ChainPriorityNATDest, Policy: &accept}
}

// replace puts a new table in the place of one that there may be.
func replace(want Ports) error {
	if _, err := present(); err != nil {
		return err
	}
	conn, err := open(len(want))
	if err != nil {
		return err
	}
	conn.AddTable(inet()) // so that there is one to delete
	conn.DelTable(inet())
	conn.AddTable(inet())
	chain := conn.AddChain(output())
	for _, m := range families() {
		if err := conn.AddSet(m.set, nil); err != nil {
			return fmt.Errorf("redirect: %w", err)
		}
		conn.AddRule(&nftables.Rule{Table: inet(), Chain: chain, Exprs: m.rule()})
	}
	if err := fill(conn, want, (*nftables.Conn).SetAddElements); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return because("make the table "+TableName, err, unix.ENOENT) // what it is made of
	}
	return nil
}

// change removes and adds what differs.
func change(gone, come Ports) error {
	conn, err := open(len(gone) + len(come))
	if err != nil {
		return err
	}
	err = errors.Join(fill(conn, gone, (*nftables.Conn).SetDeleteElements), fill(conn, come, (*nftables.Conn).SetAddElements))
	if err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("redirect: change the table %s: %w", TableName, err)
	}
	return nil
}

// fill adds ports to the maps, or deletes them.
func fill(conn *nftables.Conn, ports Ports, do func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error) error {
	for _, m := range families() {
		var all []nftables.SetElement
		for k, to := range ports {
			if k.To.Addr().Is6() == m.v6 {
				all = append(all, nftables.SetElement{Key: element(k.To, k.Proto), Val: element(to, 0)})
			}
		}
		for some := range slices.Chunk(all, elements) {
			if err := do(conn, m.set, some); err != nil {
				return fmt.Errorf("redirect: %w", err)
			}
		}
	}
	return nil
}

// element returns address, protocol unless it is 0, and port as registers have
// them: each begins one of 4 bytes.
func element(a netip.AddrPort, proto uint8) []byte {
	b := a.Addr().AsSlice()
	if proto != 0 {
		b = append(b, proto, 0, 0, 0)
	}
	return append(binary.BigEndian.AppendUint16(b, a.Port()), 0, 0)
}

// A family is what there is of each.
type family struct {
	v6    bool
	set   *nftables.Set
	proto uint8  // NFPROTO_*
	at    uint32 // of the destination in the IP header, bytes
	size  uint32 // of an address, bytes
}

// families returns both. The sets' numbers tell them from each other in one batch.
func families() []family {
	of := func(id uint32, name string, addr nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{ID: id, Name: name, Table: inet(), IsMap: true, Concatenation: true,
			KeyType:  nftables.MustConcatSetType(addr, nftables.TypeInetProto, nftables.TypeInetService),
			DataType: nftables.MustConcatSetType(addr, nftables.TypeInetService)}
	}
	return []family{
		{false, of(1, "ports4", nftables.TypeIPAddr), unix.NFPROTO_IPV4, 16, 4},  // RFC 791, section 3.1
		{true, of(2, "ports6", nftables.TypeIP6Addr), unix.NFPROTO_IPV6, 24, 16}, // RFC 8200, section 3
	}
}

// rule is, for IPv4:
//
//	meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @ports4
//
// A packet whose protocol has no ports finds nothing, and goes on as it is.
func (m *family) rule() []expr.Any {
	const first = unix.NFT_REG32_00
	proto := first + m.size/4 // the registers after the address
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: first},
		&expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: []byte{m.proto}},
		&expr.Payload{DestRegister: first, Base: expr.PayloadBaseNetworkHeader, Offset: m.at, Len: m.size},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: proto},
		&expr.Payload{DestRegister: proto + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: first, DestRegister: first, IsDestRegSet: true, SetName: m.set.Name, SetID: m.set.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(m.proto), RegAddrMin: first, RegProtoMin: proto},
	}
}
