package configs

import (
	"slices"
	"testing"
)

func TestParseCPUs(t *testing.T) {
	for _, test := range []struct {
		text string
		want []int
		ok   bool
	}{
		{"", nil, true},
		{"3", []int{3}, true},
		{"2-3,6", []int{2, 3, 6}, true},
		{" 6, 2-3\n", []int{6, 2, 3}, true}, // the order is the workers'
		{"3-2", nil, false},
		{"2,2", nil, false},
		{"1-3,2", nil, false},
		{"-1", nil, false},
		{"2-", nil, false},
		{"a", nil, false},
		{",", nil, false},
		{"99999999", nil, false},
	} {
		got, err := ParseCPUs(test.text)
		if !slices.Equal(got, test.want) || (err == nil) != test.ok {
			t.Errorf("%q: %v, %v", test.text, got, err)
		}
	}
}

func TestWorkers(t *testing.T) {
	for text, want := range map[string]int{
		"":                               1,
		"workers: {count: 0}":            1,
		"workers: {count: 4}":            4,
		"workers: {cpus: '0'}":           1,
		"workers: {count: 1, cpus: 0-0}": 1,
	} {
		cfg, err := Parse("f", []byte(text+"\n"))
		if err != nil || cfg.Workers.Number() != want {
			t.Errorf("%q: %d workers, %v; want %d", text, cfg.Workers.Number(), err, want)
		}
	}
}
