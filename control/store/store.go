// Package store answers one question: what has been asked for by the API, so
// that it has to be there again after a restart?
//
// It is an embedded database (bbolt) in the run directory, which lives as long
// as the machine: what it describes, TUNs in namespaces, does so as well.
// Entries are JSON. A store that is damaged is refused, never repaired by
// guessing. Maturity: new.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/skein-dataplane/skein/configs"
)

// version changes with the meaning of the entries.
const version = "1"

// The buckets, and the entry that tells a store from other databases.
const (
	bucketMeta      = "skein"
	bucketTuns      = "tuns"
	bucketRoutes    = "routes"
	bucketNeighbors = "neighbors"
	bucketIfaces    = "interfaces"
	bucketDeny      = "deny"
	bucketPolicies  = "policies"
	keyVersion      = "version"
)

// A Tun is a pod's TUN that Skein has made. It outlives the daemon.
type Tun struct {
	Pod        configs.Pod `json:"pod"`
	Configured bool        `json:"configured"` // by the file, not by the API
}

// A Neighbor is one that was set by hand.
type Neighbor struct {
	Interface string     `json:"interface"`
	IP        netip.Addr `json:"ip"`
	MAC       string     `json:"mac"`
}

// An Interface is what was changed of one. What was not is nil.
type Interface struct {
	Name     string              `json:"name"`
	Up       *bool               `json:"up,omitempty"`
	MTU      *uint32             `json:"mtu,omitempty"` // bytes
	Addrs    []netip.Prefix      `json:"addrs,omitempty"`
	Features map[string][]string `json:"features,omitempty"` // by arc

	RxLimit *configs.RateLimit `json:"rx_limit,omitempty"`
	TxLimit *configs.RateLimit `json:"tx_limit,omitempty"`

	Placement map[int]int `json:"placement,omitempty"` // the worker that serves a queue, by its number
}

// A Store is an open database. Its methods may be called from several
// goroutines.
type Store struct{ db *bbolt.DB }

// Open opens the store in a file, or makes it. It waits up to the given time
// for a process that has it open.
func Open(path string, wait time.Duration) (s *Store, err error) {
	// A truncated file is mapped beyond its end, and a damaged one makes the
	// library panic: both are errors here.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("store: %s is damaged: move it away, and TUNs that are left with it: %v", path, r)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: max(wait, time.Millisecond)})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("store: %s: another process has it: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("store: %s is damaged, or not a store of Skein: move it away: %w", path, err)
	}
	s = &Store{db}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), db.Close())
	}
	return s, nil
}

// prepare checks the database, and makes the buckets of a new one.
func (s *Store) prepare() error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			return fmt.Errorf("it is damaged: move it away: %w", err)
		}
		meta := tx.Bucket([]byte(bucketMeta))
		if first, _ := tx.Cursor().First(); meta == nil && first != nil {
			return errors.New("it is a database, but not a store of Skein: move it away")
		}
		if meta != nil {
			if v := string(meta.Get([]byte(keyVersion))); v != version {
				return fmt.Errorf("it is of version %q, and this skeind knows version %s: use the one that wrote it", v, version)
			}
			for _, younger := range []string{bucketDeny, bucketPolicies} {
				if _, err := tx.CreateBucketIfNotExists([]byte(younger)); err != nil {
					return err
				}
			}
			return nil
		}
		for _, name := range []string{bucketMeta, bucketTuns, bucketRoutes, bucketNeighbors, bucketIfaces, bucketDeny, bucketPolicies} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyVersion), []byte(version))
	})
}

// Close closes the store.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Clear forgets everything.
func (s *Store) Clear() error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketTuns, bucketRoutes, bucketNeighbors, bucketIfaces, bucketDeny, bucketPolicies} {
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return clearOf(tx, bucketServices, bucketNAT)
	})
	if err != nil {
		return fmt.Errorf("store: forget everything: %w", err)
	}
	return nil
}

// PutTun remembers a TUN, by its name.
func (s *Store) PutTun(t Tun) error { return s.put(bucketTuns, t.Pod.Name, t) }

// DelTun forgets a TUN, and what was changed of its interface.
func (s *Store) DelTun(name string) error {
	return errors.Join(s.del(bucketTuns, name), s.del(bucketIfaces, name))
}

// Tuns returns all TUNs by name.
func (s *Store) Tuns() ([]Tun, error) { return all[Tun](s, bucketTuns) }

// PutRoute remembers a route, as a line of ip route, under a key.
func (s *Store) PutRoute(key, line string) error { return s.put(bucketRoutes, key, line) }

// DelRoute forgets a route.
func (s *Store) DelRoute(key string) error { return s.del(bucketRoutes, key) }

// Routes returns all routes.
func (s *Store) Routes() ([]string, error) { return all[string](s, bucketRoutes) }

// PutNeighbor remembers a neighbour.
func (s *Store) PutNeighbor(n Neighbor) error {
	return s.put(bucketNeighbors, neighborKey(n.Interface, n.IP), n)
}

// DelNeighbor forgets a neighbour.
func (s *Store) DelNeighbor(iface string, ip netip.Addr) error {
	return s.del(bucketNeighbors, neighborKey(iface, ip))
}

// Neighbors returns all neighbours.
func (s *Store) Neighbors() ([]Neighbor, error) { return all[Neighbor](s, bucketNeighbors) }

func neighborKey(iface string, ip netip.Addr) string { return iface + "|" + ip.String() }

// PutInterface remembers what was changed of an interface.
func (s *Store) PutInterface(i Interface) error { return s.put(bucketIfaces, i.Name, i) }

// Interfaces returns all interfaces that were changed.
func (s *Store) Interfaces() ([]Interface, error) { return all[Interface](s, bucketIfaces) }

// ChangeDeny remembers prefixes that are denied, and forgets others.
func (s *Store) ChangeDeny(add, del []netip.Prefix) error {
	keys := make([]string, len(add))
	for i, p := range add {
		keys[i] = p.String()
	}
	slices.Sort(keys) // in order, as one page takes them in until the end: else 65,536 take 9 s
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketDeny))
		for _, key := range keys {
			if err := b.Put([]byte(key), strconv.AppendQuote(nil, key)); err != nil {
				return err
			}
		}
		for _, p := range del {
			if err := b.Delete([]byte(p.String())); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: remember what is denied: %w", err)
	}
	return nil
}

// Deny returns the prefixes that are denied.
func (s *Store) Deny() ([]netip.Prefix, error) { return all[netip.Prefix](s, bucketDeny) }

func (s *Store) put(bucket, key string, value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		err = s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), text) })
	}
	if err != nil {
		return fmt.Errorf("store: remember %s in %s: %w", key, bucket, err)
	}
	return nil
}

func (s *Store) del(bucket, key string) error {
	err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Delete([]byte(key)) })
	if err != nil {
		return fmt.Errorf("store: forget %s in %s: %w", key, bucket, err)
	}
	return nil
}

func all[T any](s *Store, bucket string) (out []T, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(key, text []byte) error {
			var one T
			if err := json.Unmarshal(text, &one); err != nil {
				return fmt.Errorf("%s in %s: %w", key, bucket, err)
			}
			out = append(out, one)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return out, nil
}
