// Package pending answers one question: which attachments have ended while no
// daemon was there to be told?
//
// A CNI plugin whose daemon does not answer leaves a record of an attachment's
// end in the run directory. The daemon carries it out when it starts, before it
// attaches to anything; garbage collection does as well. Maturity: new.
package pending

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skein-dataplane/skein/tuntap"
)

// A Record is the TUN of an attachment that has ended.
type Record struct {
	Name      string `json:"name"`  // as the daemon has it
	NetNS     string `json:"netns"` // path; empty: the runtime has not said
	Interface string `json:"interface"`
}

// Delete deletes the interface, whichever type it has: the TUN in the pod's
// namespace, or the host's side of a pair. What is somebody else's stays.
func (r Record) Delete() error {
	err := tuntap.Veth{Name: r.Name}.Delete()
	if r.NetNS == "" {
		return err
	}
	e := tuntap.Delete(r.NetNS, r.Interface)
	if errors.Is(e, tuntap.ErrOther) || errors.Is(e, fs.ErrNotExist) {
		e = nil
	}
	return errors.Join(err, e)
}

// dir is where the records of a run directory are.
func dir(runDir string) string { return filepath.Join(runDir, "cni", "ended") }

const suffix = ".json"

func path(runDir, name string) string { return filepath.Join(dir(runDir), name+suffix) }

// Put leaves a record, in place of an earlier one of the same name. It is there
// as a whole or not at all.
func Put(runDir string, r Record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("pending: %s: %w", r.Name, err)
	}
	if err := os.MkdirAll(dir(runDir), 0o755); err != nil {
		return fmt.Errorf("pending: %w", err)
	}
	f, err := os.CreateTemp(dir(runDir), r.Name+".*")
	if err != nil {
		return fmt.Errorf("pending: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path(runDir, r.Name))
	}
	if err != nil {
		return fmt.Errorf("pending: %s: %w", r.Name, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// Del takes a record away. One that is not there is no error.
func Del(runDir, name string) error {
	if err := os.Remove(path(runDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pending: %w", err)
	}
	return nil
}

// All returns the records that can be read, by name. The error is about those
// that can't.
func All(runDir string) (all []Record, failed error) {
	entries, err := os.ReadDir(dir(runDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pending: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue // on its way
		}
		var r Record
		text, err := os.ReadFile(filepath.Join(dir(runDir), e.Name()))
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err == nil && r.Name+suffix != e.Name() {
			err = fmt.Errorf("it names %q", r.Name)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("pending: %s: %w", e.Name(), err))
			continue
		}
		all = append(all, r)
	}
	return all, failed
}
