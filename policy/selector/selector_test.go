package selector_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/policy/selector"
)

func labels(text string) map[string]string {
	m := map[string]string{}
	for _, f := range strings.Fields(text) {
		k, v, _ := strings.Cut(f, "=")
		m[k] = v
	}
	return m
}

func parse(t testing.TB, text string) *selector.Selector {
	t.Helper()
	s, err := selector.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMatch: what users write, with labels that match and that don't.
func TestMatch(t *testing.T) {
	for _, tt := range []struct{ selector, yes, no string }{
		{"", "a=1", "never"},
		{"all()", "", "never"},
		{"global()", "a=1", "projectcalico.org/namespace=x"},
		{"app == 'x'", "app=x", "app=y"},
		{`app=="x"`, "app=x b=1", ""},
		{"app != 'x'", "app=y", "app=x"},
		{"app != 'x'", "", "app=x"},
		{"app in {'x', 'y'}", "app=y", "app=z"},
		{"app in {'x','y'}", "app=x", ""},
		{"app in {}", "never", "app=x"},
		{"app not in {'x', 'y'}", "app=z", "app=x"},
		{"app not in {'x', 'y'}", "", "app=y"},
		{"has(app)", "app=", "ap=1"},
		{"!has(app)", "ap=1", "app=1"},
		{"! has( app )", "", "app=1"},
		{"app contains 'el'", "app=hello", "app=hallo"},
		{"app starts with 'he'", "app=hello", "app=ahe"},
		{"app ends with 'lo'", "app=hello", "app=lox"},
		{"a == '1' && b == '2'", "a=1 b=2", "a=1"},
		{"a == '1' || b == '2'", "b=2", "b=1"},
		{"a == '1' || b == '2' && c == '3'", "a=1", "b=2"},
		{"(a == '1' || b == '2') && c == '3'", "b=2 c=3", "a=1"},
		{"!(a == '1' && b == '2')", "a=1", "a=1 b=2"},
		{"!a == '1'", "", "a=1"},
		{"in == 'in' && not not in {'not'} && has == '1'", "in=in not=no has=1", "in=in not=not has=1"},
		{"projectcalico.org/namespace == \"it's\"", "never", "projectcalico.org/namespace=its"},
		{"  a\t==\n'1'  ", "a=1", "a=2"},
	} {
		s := parse(t, tt.selector)
		if tt.yes != "never" && !s.Match(labels(tt.yes)) {
			t.Errorf("%s does not match %s", tt.selector, tt.yes)
		}
		if tt.no != "never" && s.Match(labels(tt.no)) {
			t.Errorf("%s matches %s", tt.selector, tt.no)
		}
	}
}

// TestText: one meaning, one text, which reads back.
func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "all()",
		"a=='1'&&(b=='2'&&c=='3')":            "a == '1' && b == '2' && c == '3'",
		"(((a=='1')))||all()":                 "a == '1' || all()",
		"all() && a == '1' && a=='1'":         "a == '1'",
		"a in {'y','x','y'}":                  "a in {'x', 'y'}",
		"!(a == '1')":                         "!(a == '1')",
		"!has(a)":                             "!has(a)",
		"! ! has(a)":                          "!!has(a)",
		`a == "it's"`:                         `a == "it's"`,
		"(a=='1'||b=='2')&&c starts  with ''": "(a == '1' || b == '2') && c starts with ''",
		"!(a=='1'||b=='2')":                   "!(a == '1' || b == '2')",
	} {
		if got := parse(t, in).String(); got != want {
			t.Errorf("%s is written as %s, want %s", in, got, want)
		}
		if got := parse(t, want).String(); got != want {
			t.Errorf("%s reads back as %s", want, got)
		}
	}
}

// TestErrors: the column, and what was expected there.
func TestErrors(t *testing.T) {
	for in, want := range map[string]string{
		"app":                         "column 4: expected ==, !=, in, not in, contains, starts with or ends with, it ends there",
		"app = 'x'":                   "column 5: expected ==, !=, in, not in, contains, starts with or ends with, found \"= 'x'\"",
		"app == x":                    "column 8: expected a value in quotes, found \"x\"",
		"app == 'x":                   "column 10: expected the quote that ends the value, it ends there",
		"app == 'x' &&":               "column 14: expected a label, has(label), all(), global(), ! or (, it ends there",
		"app == 'x' b == 'y'":         "column 12: expected &&, || or the end, found \"b == 'y'\"",
		"(app == 'x'":                 "column 12: expected &&, || or ), it ends there",
		"app not 'x'":                 "column 5: expected ==, !=, in, not in, contains, starts with or ends with, found \"not 'x'\"",
		"app in ('x')":                "column 8: expected { and values in quotes, found \"('x')\"",
		"app in {'x' 'y'}":            "column 13: expected , or }, found \"'y'}\"",
		"has()":                       "column 5: expected the name of a label, found \")\"",
		"all(x)":                      "column 5: expected ), found \"x)\"",
		"any()":                       "column 1: expected has(label), all() or global(), found \"any()\"",
		"a == 'x' && ü == 'y'":        "column 13: expected a label",
		strings.Repeat("(", 150):      "column 101: expected at most 100 parentheses",
		strings.Repeat("!", 1<<16):    "column 101: expected at most 100 parentheses",
		strings.Repeat("a", 64<<10+1): "column 65537: expected at most 65536 bytes",
	} {
		_, err := selector.Parse(in)
		var e *selector.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30s: %v, want %s", in, err, want)
		}
	}
}

// TestBuilt: what is built from parts is what is read from text.
func TestBuilt(t *testing.T) {
	for want, s := range map[string]*selector.Selector{
		"all()":                                selector.And(),
		"a == '1' && has(b)":                   selector.And(selector.Equal("a", "1"), selector.All(), selector.Has("b")),
		"a in {'1', '2'}":                      selector.In("a", "2", "1", "2"),
		"a not in {'1'}":                       selector.NotIn("a", "1"),
		"!(a == '1')":                          selector.Not(selector.Equal("a", "1")),
		"p.a == '1' || p.b != '2'":             parse(t, "a == '1' || b != '2'").Inherited("p.", "l"),
		"has(pcns.a)":                          parse(t, "has(a)").Inherited("pcns.", selector.NamespaceLabel),
		"has(" + selector.NamespaceLabel + ")": parse(t, "all()").Inherited("pcns.", selector.NamespaceLabel),
		"global()":                             parse(t, "global()").Inherited("pcns.", selector.NamespaceLabel),
	} {
		if s.String() != want {
			t.Errorf("built %s, want %s", s, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "all()", "a == 'b' && !has(c) || d in {'x', \"y\"}", "a not in {}", "a starts with 'b'",
		"(a contains 'x' || !b ends with 'y') && global()", "a = b", "!!(", "has(", "a in {'x',}"} {
		f.Add(s, "a", "b")
	}
	f.Fuzz(func(t *testing.T, text, key, value string) {
		s, err := selector.Parse(text)
		if err != nil {
			var e *selector.Error
			if !errors.As(err, &e) || e.Column < 1 || e.Column > len(text)+1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := selector.Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q is %q, which reads back as %v, %v", text, s, again, err)
		}
		l := map[string]string{key: value}
		if s.Match(l) != again.Match(l) {
			t.Fatalf("%q and %q differ for %v", text, s, l)
		}
	})
}
