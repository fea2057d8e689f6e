package takeover

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// recordKind tells a record from other files, and recordVersion changes with
// the meaning of its fields.
const (
	recordKind    = "skein uplink record"
	recordVersion = 2
)

// A record is what Restore needs. It is on the disk before the first change.
type record struct {
	NetNS     string `json:"netns"`     // file of the namespace that the uplink goes to
	Index     int    `json:"index"`     // of the uplink in the host's namespace
	Committed bool   `json:"committed"` // everything is in place, and was confirmed
	// Redirects: the host's namespace may have the table of package redirect.
	Redirects bool     `json:"redirects,omitempty"`
	Host      Snapshot `json:"host"`
}

// An envelope is a record as it stands in its file.
type envelope struct {
	Kind    string          `json:"kind"`
	Version int             `json:"version"`
	Sum     string          `json:"sha256"` // of Record without white space, in hexadecimal
	Record  json.RawMessage `json:"record"`
}

const (
	recordPrefix = "uplink-"
	recordSuffix = ".json"
)

func recordPath(dir, uplink string) string {
	return filepath.Join(dir, recordPrefix+uplink+recordSuffix)
}

// save writes the record such that a reader finds all of it or none, also
// after a loss of power. A record that is there already is replaced.
func (r *record) save(dir string) (err error) {
	text, err := r.marshal()
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	path := recordPath(dir, r.Host.Name)
	file, err := os.CreateTemp(dir, ".uplink-*")
	if err != nil {
		return fmt.Errorf("takeover: write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("takeover: write %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	return syncDir(dir)
}

func (r *record) marshal() ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return json.MarshalIndent(envelope{recordKind, recordVersion, hex.EncodeToString(sum[:]), body}, "", "  ")
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("takeover: write %s: %w", dir, err)
	}
	return nil
}

// load reads a record. It wraps os.ErrNotExist if there is none.
func load(dir, uplink string) (*record, error) {
	path := recordPath(dir, uplink)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	r, err := unmarshal(text)
	if err != nil {
		return nil, fmt.Errorf("takeover: %s %w", path, err)
	}
	if r.Host.Name != uplink {
		return nil, fmt.Errorf("takeover: %s is the record of %q", path, r.Host.Name)
	}
	return r, nil
}

func unmarshal(text []byte) (*record, error) {
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("is truncated or not a record of Skein: %w", err)
	}
	if e.Kind != recordKind {
		return nil, fmt.Errorf("is not a record of Skein but of %q", e.Kind)
	}
	if e.Version != recordVersion {
		return nil, fmt.Errorf("is of version %d, and this skeind knows version %d: use the one that wrote it", e.Version, recordVersion)
	}
	var body bytes.Buffer
	if err := json.Compact(&body, e.Record); err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	if sum := sha256.Sum256(body.Bytes()); hex.EncodeToString(sum[:]) != e.Sum {
		return nil, errors.New("is damaged: its checksum does not fit")
	}
	r := new(record)
	if err := json.Unmarshal(e.Record, r); err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	return r, nil
}

func (r *record) remove(dir string) error {
	if err := os.Remove(recordPath(dir, r.Host.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("takeover: %w", err)
	}
	return syncDir(dir)
}

// Records returns the uplinks that dir has records of.
func Records(dir string) (uplinks []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), recordPrefix)
		if name, isRecord := strings.CutSuffix(name, recordSuffix); ok && isRecord {
			uplinks = append(uplinks, name)
		}
	}
	return uplinks, nil
}
