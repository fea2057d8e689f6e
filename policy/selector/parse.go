package selector

import (
	"fmt"
	"strings"
)

// An Error says where an expression cannot be read, and what was expected there.
type Error struct {
	Text   string
	Column int // in bytes, from 1
	Want   string
}

func (e *Error) Error() string {
	found := "it ends there"
	if rest := e.Text[min(e.Column-1, len(e.Text)):]; rest != "" {
		found = fmt.Sprintf("found %q", cut(rest))
	}
	return fmt.Sprintf("selector: column %d: expected %s, %s", e.Column, e.Want, found)
}

// cut shortens what was found to what fits in a message.
func cut(s string) string {
	const most = 20 // bytes; the rest is in the file
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

const (
	// maxText is how long an expression may be, in bytes.
	maxText = 64 << 10
	// maxDepth is how many parentheses and negations may be inside each other.
	maxDepth = 100
)

// Parse reads an expression. An empty one is all(). The error is an *Error.
func Parse(text string) (*Selector, error) {
	if len(text) > maxText {
		return nil, &Error{text, maxText + 1, fmt.Sprintf("at most %d bytes", maxText)}
	}
	p := parser{text: text}
	p.space()
	if p.at == len(text) {
		return All(), nil
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.at < len(text) {
		return nil, p.want("&&, || or the end")
	}
	return make1(n), nil
}

// A parser reads by recursive descent. Before each step, at is behind spaces.
type parser struct {
	text  string
	at    int
	depth int
}

func (p *parser) want(what string) error { return &Error{p.text, p.at + 1, what} }

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// take reads what, if it comes next.
func (p *parser) take(what string) bool {
	if !strings.HasPrefix(p.text[p.at:], what) {
		return false
	}
	p.at += len(what)
	p.space()
	return true
}

func (p *parser) or() (node, error)  { return p.chain("||", p.and, or) }
func (p *parser) and() (node, error) { return p.chain("&&", p.term, and) }

// chain reads one or more of next with the operator between them.
func (p *parser) chain(operator string, next func() (node, error), join func([]node) node) (node, error) {
	var kids []node
	for {
		n, err := next()
		if err != nil {
			return node{}, err
		}
		kids = append(kids, n)
		if !p.take(operator) {
			return join(kids), nil
		}
	}
}

func (p *parser) term() (node, error) {
	if p.depth++; p.depth > maxDepth {
		return node{}, p.want(fmt.Sprintf("at most %d parentheses and negations inside each other", maxDepth))
	}
	defer func() { p.depth-- }()
	switch {
	case p.take("!"):
		n, err := p.term()
		return node{op: opNot, kids: []node{n}}, err
	case p.take("("):
		n, err := p.or()
		if err == nil && !p.take(")") {
			err = p.want("&&, || or )")
		}
		return n, err
	}
	return p.condition()
}

func isName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_./-", c) >= 0
}

// name reads the name of a label, or a word of the language.
func (p *parser) name() string {
	start := p.at
	for p.at < len(p.text) && isName(p.text[p.at]) {
		p.at++
	}
	name := p.text[start:p.at]
	p.space()
	return name
}

// condition reads has(…), all(), global(), or a label and what it is compared to.
func (p *parser) condition() (node, error) {
	start := p.at
	name := p.name()
	if name == "" {
		return node{}, p.want("a label, has(label), all(), global(), ! or (")
	}
	if strings.HasPrefix(p.text[p.at:], "(") {
		return p.call(name, start)
	}
	return p.compare(name)
}

func (p *parser) call(name string, start int) (n node, err error) {
	switch name {
	case "has":
		n.op = opHas
	case "all":
		n.op = opAll
	case "global":
		n.op = opGlobal
	default:
		p.at = start
		return n, p.want("has(label), all() or global()")
	}
	p.take("(")
	if n.op == opHas {
		if n.key = p.name(); n.key == "" {
			return n, p.want("the name of a label")
		}
	}
	if !p.take(")") {
		return n, p.want(")")
	}
	return n, nil
}

func (p *parser) compare(key string) (n node, err error) {
	n.key = key
	switch {
	case p.take("=="):
		n.op = opEqual
	case p.take("!="):
		n.op = opNotEqual
	default:
		if n.op, err = p.word(); err != nil {
			return n, err
		}
	}
	if n.op == opIn || n.op == opNotIn {
		n.values, err = p.set()
		return n, err
	}
	value, err := p.value()
	n.values = []string{value}
	return n, err
}

// word reads an operator that is written in words.
func (p *parser) word() (op, error) {
	start := p.at
	switch p.name() {
	case "in":
		return opIn, nil
	case "contains":
		return opContains, nil
	case "not":
		if p.name() == "in" {
			return opNotIn, nil
		}
	case "starts":
		if p.name() == "with" {
			return opStarts, nil
		}
	case "ends":
		if p.name() == "with" {
			return opEnds, nil
		}
	}
	p.at = start
	return 0, p.want("==, !=, in, not in, contains, starts with or ends with")
}

func (p *parser) value() (string, error) {
	if p.at == len(p.text) || p.text[p.at] != '\'' && p.text[p.at] != '"' {
		return "", p.want("a value in quotes")
	}
	end := strings.IndexByte(p.text[p.at+1:], p.text[p.at])
	if end < 0 {
		p.at = len(p.text)
		return "", p.want("the quote that ends the value")
	}
	value := p.text[p.at+1:][:end]
	p.at += end + 2
	p.space()
	return value, nil
}

func (p *parser) set() ([]string, error) {
	if !p.take("{") {
		return nil, p.want("{ and values in quotes")
	}
	var values []string
	for !p.take("}") {
		if len(values) > 0 && !p.take(",") {
			return nil, p.want(", or }")
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return sorted(values), nil
}
