package store

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"
)

// Policies are a text of resources that the API was given.
type Policies struct {
	Number uint64   `json:"number"` // later ones have higher numbers
	Name   string   `json:"name"`   // what messages call it
	Text   []byte   `json:"text"`   // YAML
	Refs   []string `json:"refs"`   // the resources in it that still hold
}

func policiesKey(number uint64) []byte { return fmt.Appendf(nil, "%016x", number) }

// ChangePolicies remembers texts of resources, and forgets others: all of that
// or nothing.
func (s *Store) ChangePolicies(put []Policies, del []uint64) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketPolicies))
		for _, p := range put {
			text, err := json.Marshal(p)
			if err != nil {
				return err
			}
			if err := b.Put(policiesKey(p.Number), text); err != nil {
				return err
			}
		}
		for _, n := range del {
			if err := b.Delete(policiesKey(n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: remember policies: %w", err)
	}
	return nil
}

// Policies returns the texts of resources, the oldest first.
func (s *Store) Policies() ([]Policies, error) { return all[Policies](s, bucketPolicies) }
