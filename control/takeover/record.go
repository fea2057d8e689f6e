package takeover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// recordVersion changes with the meaning of a record's fields.
const recordVersion = 1

// A record is what Restore needs, as it stands in a file.
type record struct {
	Version int      `json:"version"`
	NetNS   string   `json:"netns"`
	Host    Snapshot `json:"host"`
}

func recordPath(dir, uplink string) string { return filepath.Join(dir, "uplink-"+uplink+".json") }

// save writes the record such that a reader finds all of it or none, also
// after a loss of power.
func (r *record) save(dir string) error {
	path := recordPath(dir, r.Host.Name)
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("takeover: %w: %s says that it is taken over already; if no daemon runs, give it back with skeind restore", ErrRefused, path)
	}
	return r.replace(dir)
}

// replace is save, and takes the place of an earlier record.
func (r *record) replace(dir string) (err error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	path := recordPath(dir, r.Host.Name)
	file, err := os.CreateTemp(dir, ".uplink-*")
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
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
func load(dir, uplink string) (r record, err error) {
	path := recordPath(dir, uplink)
	text, err := os.ReadFile(path)
	if err != nil {
		return r, fmt.Errorf("takeover: %w", err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("takeover: %s is damaged: %w", path, err)
	}
	if r.Version != recordVersion || r.Host.Name != uplink {
		return r, fmt.Errorf("takeover: %s is of version %d for %q, not of version %d for %q", path, r.Version, r.Host.Name, recordVersion, uplink)
	}
	return r, nil
}

func (r *record) remove(dir string) error {
	if err := os.Remove(recordPath(dir, r.Host.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("takeover: %w", err)
	}
	return nil
}

// Records returns the uplinks that dir has records of.
func Records(dir string) (uplinks []string, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "uplink-*.json"))
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	for _, p := range paths {
		name := filepath.Base(p)
		uplinks = append(uplinks, name[len("uplink-"):len(name)-len(".json")])
	}
	return uplinks, nil
}
