package control

import (
	"fmt"
	"os"
	"path/filepath"
)

// A manifest is a file of Kubernetes' objects that was read.
type manifest[T any] struct {
	name    string
	objects T
}

// readManifests reads files, and those in directories. what they are about
// stands in errors, but for those of parse, which say it themselves.
func readManifests[T any](what string, paths []string, parse func(name string, text []byte) (T, error)) (out []manifest[T], err error) {
	for _, path := range paths {
		names, err := manifestFiles(path)
		if err != nil {
			return nil, fmt.Errorf("control: %s: %w", what, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("control: %s: %w", what, err)
			}
			objects, err := parse(name, text)
			if err != nil {
				return nil, err
			}
			out = append(out, manifest[T]{name, objects})
		}
	}
	return out, nil
}

// manifestFiles returns a file's own name, or those of the YAML files in a
// directory.
func manifestFiles(path string) (names []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml" || ext == ".json") {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	return names, err
}
