package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxHistory is how many lines are remembered.
const maxHistory = 1000

// A history is the lines typed before, newest last, kept in a file. It is a
// term.History.
type history struct {
	lines []string
	path  string // empty: not kept
}

// openHistory reads the user's history. On an error what is returned works,
// and is not kept.
func openHistory() (*history, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return &history{}, err
	}
	return readHistory(filepath.Join(home, ".skeinctl_history"))
}

func readHistory(path string) (*history, error) {
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return &history{}, err
	}
	h := &history{path: path}
	for line := range strings.Lines(string(b)) {
		h.Add(strings.TrimSuffix(line, "\n"))
	}
	return h, nil
}

// Add remembers line, but for blanks and what came just before.
func (h *history) Add(line string) {
	if n := len(h.lines); strings.TrimSpace(line) == "" || n > 0 && h.lines[n-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	if len(h.lines) > maxHistory {
		h.lines = h.lines[len(h.lines)-maxHistory:]
	}
}

// Len returns the number of lines.
func (h *history) Len() int { return len(h.lines) }

// At returns the line typed i lines ago, from 0. It panics if there is none,
// as term.History wants it.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }

// close writes the history back, readable by its owner only. Two prompts that
// end at the same time leave the history of one of them, never a mix.
func (h *history) close() error {
	if h.path == "" || len(h.lines) == 0 {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(h.path), filepath.Base(h.path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("cli: keep the history: %w", err)
	}
	_, err = tmp.WriteString(strings.Join(h.lines, "\n") + "\n")
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), h.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the first error is the one to tell
		return fmt.Errorf("cli: keep the history: %w", err)
	}
	return nil
}
