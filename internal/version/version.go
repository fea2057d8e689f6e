// Package version answers one question: which Skein is this?
//
// Maturity: stable.
package version

import "runtime/debug"

// Version is the release, set by the linker.
var Version = "devel"

// Commit returns the commit that the program was built from, with "+dirty" if
// the source was changed since, or "unknown".
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	return commit + dirty
}
