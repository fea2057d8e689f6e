// Package redirect answers one question: how do the node's own processes reach
// NodePorts and hostPorts?
//
// What a process sends to an address of its own host the kernel delivers by
// lo, and Skein never sees it. So the host's namespace gets one table of
// nftables, "inet skein", with one chain, of type nat, at the hook output: it
// sends what is for one of the node's addresses, protocol and port of which are
// in a map, to an address that the host reaches through Skein, a ClusterIP or a
// pod's. One map for each family: what a packet costs does not depend on how
// many ports there are. It is what kube-proxy's nftables mode does for the same
// packets (pkg/proxy/nftables in Kubernetes), and like there 127.0.0.0/8 and ::1
// are not served.
//
// A chain of type nat switches connection tracking on in its namespace, so the
// table is there only as long as there is something in it.
//
// Maturity: new. Needs nf_tables with NAT in inet tables: Linux 5.2.
package redirect

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"syscall"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// TableName is what the table of the inet family is called.
const TableName = "skein"

// ErrUnsupported says that the kernel lacks nf_tables, or its NAT.
var ErrUnsupported = errors.New("the kernel has no nf_tables with NAT (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT; Linux 5.2)")

// A Key is what packets are for.
type Key struct {
	To    netip.AddrPort // the address is the node's
	Proto uint8          // TCP, UDP or SCTP, as the IP header has it
}

// Ports say where what is for a Key goes, which is of the same family.
type Ports map[Key]netip.AddrPort

// A Table is the table of the calling thread's namespace. It belongs to one
// goroutine. The zero Table does not know what is there.
type Table struct {
	has Ports // nil: not known
}

// Set has the table hold what is wanted, in one transaction: packets see all of
// the change or none. Without anything wanted there is no table. A table that
// somebody else has removed or emptied meanwhile is made again.
func (t *Table) Set(want Ports) error {
	if len(want) == 0 {
		return t.remove()
	}
	if t.has != nil && t.step(want) == nil {
		return nil
	}
	t.has = nil // also if what follows fails
	if err := replace(want); err != nil {
		return err
	}
	t.has = maps.Clone(want)
	return nil
}

// step goes from what is there to what is wanted.
func (t *Table) step(want Ports) error {
	gone, come := diff(t.has, want)
	if len(gone)+len(come) == 0 {
		return standing(len(want))
	}
	if err := change(gone, come); err != nil {
		return err
	}
	t.has = maps.Clone(want)
	return nil
}

func (t *Table) remove() error {
	if t.has != nil && len(t.has) == 0 {
		return nil
	}
	if err := Remove(); err != nil {
		return err
	}
	t.has = Ports{}
	return nil
}

// diff returns what has to go and what has to come. What leads elsewhere is in
// both.
func diff(has, want Ports) (gone, come Ports) {
	gone, come = Ports{}, Ports{}
	for k, to := range has {
		if now, there := want[k]; !there || now != to {
			gone[k] = to
		}
	}
	for k, to := range want {
		if was, there := has[k]; !there || was != to {
			come[k] = to
		}
	}
	return gone, come
}

// Remove removes the table of the calling thread's namespace, if it is there.
func Remove() error {
	switch there, err := present(); {
	case errors.Is(err, ErrUnsupported) || err == nil && !there:
		return nil // nobody can have made it
	case err != nil:
		return err
	}
	conn, err := open(0)
	if err != nil {
		return err
	}
	conn.DelTable(inet())
	if err := conn.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("redirect: remove the table %s: %w", TableName, err)
	}
	return nil
}

// because makes an error of the kernel's, and says what is missing if
// something is: it says so in several ways, besides in those that depend on what
// it was asked.
func because(what string, err error, also syscall.Errno) error {
	for _, e := range []error{unix.EPROTONOSUPPORT, unix.EOPNOTSUPP, unix.EAFNOSUPPORT, also} {
		if errors.Is(err, e) {
			return fmt.Errorf("redirect: %s: %w: %w", what, ErrUnsupported, err)
		}
	}
	return fmt.Errorf("redirect: %s: %w", what, err)
}

func inet() *nftables.Table {
	return &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}
}
