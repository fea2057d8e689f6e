// Package smaps answers one question: what pages has the kernel given to a
// piece of this process's memory?
//
// It is for tests. Maturity: complete for what they ask.
package smaps

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A Mapping is what /proc/self/smaps says of one (proc(5)).
type Mapping struct {
	HugeAsked bool // MADV_HUGEPAGE holds for it
	HugeKiB   int  // in huge pages
	RSSKiB    int
}

// Of returns the mapping that the address of p's first byte lies in.
func Of(p []byte) (m Mapping, err error) {
	var at, from, to uintptr
	if _, err := fmt.Sscanf(fmt.Sprintf("%p", p), "0x%x", &at); err != nil {
		return m, fmt.Errorf("smaps: address of the memory: %w", err)
	}
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return m, fmt.Errorf("smaps: %w", err)
	}
	found := false
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		line := s.Text()
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			if found {
				break
			}
			found = from <= at && at < to
			continue
		}
		if found {
			m.read(line)
		}
	}
	if !found {
		return m, fmt.Errorf("smaps: nothing is mapped at %#x", at)
	}
	return m, nil
}

// read takes in one line of a mapping.
func (m *Mapping) read(line string) {
	name, rest, _ := strings.Cut(line, ":")
	words := strings.Fields(rest)
	var kib int
	if len(words) > 0 {
		_, _ = fmt.Sscan(words[0], &kib) // 0 for flags
	}
	switch name {
	case "VmFlags":
		m.HugeAsked = slices.Contains(words, "hg")
	case "AnonHugePages":
		m.HugeKiB = kib
	case "Rss":
		m.RSSKiB = kib
	}
}

// Enabled reports whether the kernel gives huge pages to who asks for them.
func Enabled() bool {
	text, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	return err == nil && !strings.Contains(string(text), "[never]")
}
