package configs

import (
	"fmt"
	"strings"
)

// BandwidthOf reads the annotations that Kubernetes has for a pod's bandwidth.
func BandwidthOf(annotations map[string]string) (b Bandwidth, err error) {
	for key, rate := range map[string]*uint64{"kubernetes.io/ingress-bandwidth": &b.IngressRate, "kubernetes.io/egress-bandwidth": &b.EgressRate} {
		if text := annotations[key]; text != "" {
			if *rate, err = ParseRate(text); err != nil {
				return Bandwidth{}, fmt.Errorf("configs: annotation %s: %w", key, err)
			}
		}
	}
	return b, nil
}

// units are the suffixes of Kubernetes' quantities, as far as a rate has them.
var units = []struct {
	suffix string
	factor uint64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
}

// maxRate is Kubernetes' bound of a bandwidth, in bits per second.
const maxRate = 1e15

// ParseRate reads a rate as Kubernetes writes it, such as 10M, in bits per
// second.
func ParseRate(text string) (uint64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		var n uint64
		for _, d := range []byte(digits) {
			if d < '0' || d > '9' || n > maxRate {
				return 0, fmt.Errorf("configs: %q is not a rate such as 10M", text)
			}
			n = n*10 + uint64(d-'0')
		}
		if digits == "" || n > maxRate/u.factor || n*u.factor < 1000 {
			return 0, fmt.Errorf("configs: %q is not a rate from 1k to 1000T", text)
		}
		return n * u.factor, nil
	}
	return 0, fmt.Errorf("configs: %q is not a rate such as 10M", text)
}
