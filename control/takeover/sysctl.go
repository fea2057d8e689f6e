package takeover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An interface loses its sysctls when it changes its namespace: there it gets
// that namespace's defaults.

// sysctlTrees are where an interface has sysctls, under /proc/sys/net.
var sysctlTrees = [...]string{"ipv4/conf", "ipv4/neigh", "ipv6/conf", "ipv6/neigh"}

// readSysctls returns those of an interface of the calling thread's namespace.
func readSysctls(name string) (map[string]string, error) {
	out := map[string]string{}
	for _, tree := range sysctlTrees {
		dir := filepath.Join("/proc/sys/net", tree, name)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("read sysctls: %w", err)
		}
		for _, e := range entries {
			// stable_secret can't be read before it is set.
			if text, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
				out[tree+"/"+e.Name()] = strings.TrimSpace(string(text))
			}
		}
	}
	return out, nil
}

// writeSysctls sets those that are not as they should be. One that the kernel
// does not have, or does not let be set, is an error.
func writeSysctls(name string, want map[string]string) error {
	has, err := readSysctls(name)
	if err != nil {
		return err
	}
	var failed []error
	for key, value := range want {
		if has[key] != value {
			failed = append(failed, writeSysctl(name, key, value))
		}
	}
	return errors.Join(failed...)
}

// writeSysctl sets one that goes by its tree and name. Without IPv6 there is
// nothing to set.
func writeSysctl(name, key, value string) error {
	tree, leaf := filepath.Split(key)
	err := os.WriteFile(filepath.Join("/proc/sys/net", tree, name, leaf), []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(tree, "ipv6/") {
		return nil
	}
	return err
}
