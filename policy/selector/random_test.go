package selector_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/policy/selector"
)

// A twin is an expression, written in a random style, and what it means, said
// in Go.
type twin struct {
	text  string
	means func(map[string]string) bool
}

type source struct{ *rand.Rand }

var (
	keys   = []string{"a", "b", "c.d/e", "projectcalico.org/namespace"}
	values = []string{"", "x", "y", "xy", "yx"}
)

func (s source) key() string   { return keys[s.IntN(len(keys))] }
func (s source) value() string { return values[s.IntN(len(values))] }
func (s source) sp() string    { return strings.Repeat(" ", s.IntN(3)) }
func (s source) quoted(v string) string {
	q := []string{"'", `"`}[s.IntN(2)]
	return q + v + q
}

func (s source) labels() map[string]string {
	l := map[string]string{}
	for range s.IntN(4) {
		l[s.key()] = s.value()
	}
	return l
}

func (s source) leaf() twin {
	k, v := s.key(), s.value()
	compare := func(how string, f func(got, want string, has bool) bool) twin {
		return twin{k + " " + s.sp() + how + s.sp() + s.quoted(v), func(l map[string]string) bool {
			got, has := l[k]
			return f(got, v, has)
		}}
	}
	switch s.IntN(10) {
	case 0:
		return twin{"all(" + s.sp() + ")", func(map[string]string) bool { return true }}
	case 1:
		return twin{"global()", func(l map[string]string) bool { _, has := l["projectcalico.org/namespace"]; return !has }}
	case 2:
		return twin{"has(" + s.sp() + k + s.sp() + ")", func(l map[string]string) bool { _, has := l[k]; return has }}
	case 3:
		return compare("!=", func(got, want string, has bool) bool { return !(has && got == want) })
	case 4:
		return compare("contains", func(got, want string, has bool) bool { return has && strings.Contains(got, want) })
	case 5:
		return compare("starts with", func(got, want string, has bool) bool { return has && strings.HasPrefix(got, want) })
	case 6:
		return compare("ends  with", func(got, want string, has bool) bool { return has && strings.HasSuffix(got, want) })
	case 7, 8:
		return s.oneOf(k)
	}
	return compare("==", func(got, want string, has bool) bool { return has && got == want })
}

func (s source) oneOf(k string) twin {
	var list, quoted []string
	for range s.IntN(4) {
		list = append(list, s.value())
		quoted = append(quoted, s.sp()+s.quoted(list[len(list)-1])+s.sp())
	}
	in := func(l map[string]string) bool { v, has := l[k]; return has && slices.Contains(list, v) }
	set := "{" + strings.Join(quoted, ",") + "}"
	if s.IntN(2) == 0 {
		return twin{k + " in " + set, in}
	}
	return twin{k + " not  in" + set, func(l map[string]string) bool { return !in(l) }}
}

func (s source) twin(depth int) twin {
	if depth == 0 || s.IntN(4) == 0 {
		return s.leaf()
	}
	a, b := s.twin(depth-1), s.twin(depth-1)
	switch s.IntN(3) {
	case 0:
		return twin{"!" + s.sp() + "(" + a.text + ")", func(l map[string]string) bool { return !a.means(l) }}
	case 1:
		return twin{"(" + a.text + ")" + s.sp() + "&&" + s.sp() + "(" + b.text + ")", func(l map[string]string) bool { return a.means(l) && b.means(l) }}
	}
	return twin{"(" + a.text + "||" + b.text + ")", func(l map[string]string) bool { return a.means(l) || b.means(l) }}
}

// TestRandom: random expressions mean what they are built to mean, also after
// they have been written and read again, and match nothing without an anchor.
func TestRandom(t *testing.T) {
	s := source{rand.New(rand.NewPCG(1, 2))}
	for range 3000 {
		tw := s.twin(4)
		sel := parse(t, tw.text)
		again := parse(t, sel.String())
		pairs, anchored := sel.Anchors(func(p selector.Pair) int { return len(p.Value) })
		for range 20 {
			l := s.labels()
			want := tw.means(l)
			if sel.Match(l) != want || again.Match(l) != want {
				t.Fatalf("%s, read as %s, for %v: want %v", tw.text, sel, l, want)
			}
			holds := func(p selector.Pair) bool { v, has := l[p.Key]; return has && v == p.Value }
			if anchored && want && !slices.ContainsFunc(pairs, holds) {
				t.Fatalf("%s matches %v, which has none of its anchors %v", sel, l, pairs)
			}
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	l := map[string]string{"projectcalico.org/namespace": "default", "app": "frontend", "tier": "web", "version": "v1"}
	for _, text := range []string{"app == 'frontend'", "projectcalico.org/namespace == 'default' && app in {'a', 'b', 'frontend'} && !has(x)"} {
		s := parse(b, text)
		b.Run(fmt.Sprintf("conditions=%d", strings.Count(text, "&&")+1), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Match(l)
			}
		})
	}
}
