package configs

import "testing"

func TestParseRate(t *testing.T) {
	for text, want := range map[string]uint64{"1000": 1000, "1k": 1000, "10M": 10e6, "1Gi": 1 << 30, "3T": 3e12, "1000T": 1e15} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "M", "999", "0", "-1M", "1.5M", "10MB", "1001T", "99999999999999999999", "10 M", "1e6"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	f.Add("10M")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseRate(text); err == nil && (n < 1000 || n > 1e15) {
			t.Errorf("%q is %d", text, n)
		}
	})
}
