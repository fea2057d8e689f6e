package store

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"go.etcd.io/bbolt"

	"github.com/skein-dataplane/skein/service"
)

// The buckets of services and of NAT. They are made when there is something to
// put in: earlier versions had none.
const (
	bucketServices = "services"
	bucketNAT      = "nat"
)

// A Service is a Service, an EndpointSlice or a Node.
type Service struct {
	Service *service.Service `json:"service,omitempty"`
	Slice   *service.Slice   `json:"slice,omitempty"`
	Node    *service.Node    `json:"node,omitempty"`
}

// ServicesOf returns entries for objects.
func ServicesOf(o service.Objects) (out []Service) {
	for _, s := range o.Services {
		out = append(out, Service{Service: s})
	}
	for _, s := range o.Slices {
		out = append(out, Service{Slice: s})
	}
	for _, n := range o.Nodes {
		out = append(out, Service{Node: n})
	}
	return out
}

// Objects returns what the entry is about.
func (s *Service) Objects() (o service.Objects) {
	if s.Service != nil {
		o.Services = append(o.Services, s.Service)
	}
	if s.Slice != nil {
		o.Slices = append(o.Slices, s.Slice)
	}
	if s.Node != nil {
		o.Nodes = append(o.Nodes, s.Node)
	}
	return o
}

// Key returns what the entry is known by: "Service default/web".
func (s *Service) Key() string {
	switch {
	case s.Service != nil:
		return "Service " + s.Service.Ref()
	case s.Node != nil:
		return "Node " + s.Node.Name
	}
	return "EndpointSlice " + s.Slice.Ref()
}

// PutServices remembers objects, all or none.
func (s *Store) PutServices(all ...Service) error {
	return s.change(bucketServices, func(b *bbolt.Bucket) error {
		for _, one := range all {
			text, err := json.Marshal(one)
			if err != nil {
				return err
			}
			if err := b.Put([]byte(one.Key()), text); err != nil {
				return err
			}
		}
		return nil
	})
}

// DelServices forgets objects, by their keys.
func (s *Store) DelServices(keys ...string) error {
	return s.change(bucketServices, func(b *bbolt.Bucket) error {
		for _, key := range keys {
			if err := b.Delete([]byte(key)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Services returns all objects.
func (s *Store) Services() ([]Service, error) { return allOf[Service](s, bucketServices) }

// A NAT is a pool, or a mapping for good.
type NAT struct {
	Pool     netip.Prefix `json:"pool,omitzero"`
	Outgoing bool         `json:"outgoing,omitempty"`
	Static   string       `json:"static,omitempty"` // as configs.ParseStatic reads it
}

func (n *NAT) key() []byte {
	if n.Pool.IsValid() {
		return []byte("pool " + n.Pool.String())
	}
	return []byte("static " + n.Static)
}

// PutNAT remembers an entry.
func (s *Store) PutNAT(n NAT) error {
	return s.change(bucketNAT, func(b *bbolt.Bucket) error {
		text, err := json.Marshal(n)
		if err != nil {
			return err
		}
		return b.Put(n.key(), text)
	})
}

// DelNAT forgets an entry.
func (s *Store) DelNAT(n NAT) error {
	return s.change(bucketNAT, func(b *bbolt.Bucket) error { return b.Delete(n.key()) })
}

// NAT returns all entries.
func (s *Store) NAT() ([]NAT, error) { return allOf[NAT](s, bucketNAT) }

// change edits a bucket, which need not be there yet.
func (s *Store) change(bucket string, edit func(*bbolt.Bucket) error) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		return edit(b)
	})
	if err != nil {
		return fmt.Errorf("store: change %s: %w", bucket, err)
	}
	return nil
}

// allOf returns the entries of a bucket, none if it is not there.
func allOf[T any](s *Store, bucket string) ([]T, error) {
	there := false
	err := s.db.View(func(tx *bbolt.Tx) error {
		there = tx.Bucket([]byte(bucket)) != nil
		return nil
	})
	if err != nil || !there {
		return nil, err
	}
	return all[T](s, bucket)
}

// clearOf forgets all entries of buckets that need not be there.
func clearOf(tx *bbolt.Tx, buckets ...string) error {
	for _, name := range buckets {
		if tx.Bucket([]byte(name)) == nil {
			continue
		}
		if err := tx.DeleteBucket([]byte(name)); err != nil {
			return err
		}
	}
	return nil
}
