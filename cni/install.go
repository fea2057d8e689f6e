package cni

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

// An Install is what is put in place for a container runtime, and removed.
type Install struct {
	BinDir  string // where runtimes look for plugins
	ConfDir string // where they look for lists
	Name    string // of the list's file in ConfDir
	Binary  string // what to copy; the running one if empty
	List    []byte // what the file is to hold
}

// binary is the plugin's name in BinDir, which lists name as type.
const binary = "skein-cni"

// Do puts the binary in place, and then the list: a runtime that sees the list
// finds the plugin. Each appears as a whole or not at all, also where it was
// there before, and while runtimes use it.
func (i Install) Do() error {
	if i.Name != filepath.Base(i.Name) || !strings.HasSuffix(i.Name, ".conflist") {
		return fmt.Errorf("cni: install: %q is not the name of a .conflist", i.Name)
	}
	list, err := libcni.ConfListFromBytes(i.List)
	if err != nil {
		return fmt.Errorf("cni: install: the list is not one: %w", err)
	}
	if len(list.Plugins) == 0 {
		return errors.New("cni: install: the list names no plugin")
	}
	from := i.Binary
	if from == "" {
		from = "/proc/self/exe"
	}
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("cni: install: %w", err)
	}
	defer f.Close()
	if err := put(filepath.Join(i.BinDir, binary), 0o755, f); err != nil {
		return err
	}
	return put(filepath.Join(i.ConfDir, i.Name), 0o644, bytes.NewReader(i.List))
}

// Undo removes the list, and then the binary. What is not there is no error.
// A list that is not Skein's is left, and the error says so.
func (i Install) Undo() error {
	path := filepath.Join(i.ConfDir, i.Name)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("cni: uninstall: %w", err)
	case !bytes.Contains(text, []byte(binary)) && !bytes.Equal(text, i.List):
		return fmt.Errorf("cni: uninstall: %s is not Skein's", path)
	}
	for _, x := range []string{path, filepath.Join(i.BinDir, binary)} {
		if err := os.Remove(x); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cni: uninstall: %w", err)
		}
	}
	return nil
}

// put writes a file beside its place, and renames it.
func put(path string, mode fs.FileMode, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cni: install: %w", err)
	}
	// Runtimes pass by names that begin with a dot.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cni: install: %w", err)
	}
	_, err = io.Copy(f, from)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cni: install %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
