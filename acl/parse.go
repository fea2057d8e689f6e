package acl

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseRule reads a rule as Rule.String writes it: "allow ipv4 tcp from net
// 10.0.0.0/8 set web to ports 80,443,8000:8080". The error wraps ErrInvalid and
// says at which word.
func ParseRule(s string) (Rule, error) {
	p := ruleParser{words: strings.Fields(s)}
	if err := p.rule(); err != nil {
		return Rule{}, fmt.Errorf("acl: rule %q: %w: %w", s, err, ErrInvalid)
	}
	return p.out, p.out.Check()
}

type ruleParser struct {
	words []string
	out   Rule
}

func (p *ruleParser) next() (word string) {
	if len(p.words) > 0 {
		word, p.words = p.words[0], p.words[1:]
	}
	return word
}

func (p *ruleParser) rule() error {
	action := p.next()
	for a := Allow; a < numActions; a++ {
		if actionNames[a] == action {
			p.out.Action = a
		}
	}
	if p.out.Action == Undecided {
		return fmt.Errorf("%q is no action: want allow, deny, pass or log", action)
	}
	var side *Side
	for len(p.words) > 0 {
		word := p.next()
		not := word == "not"
		if not {
			word = p.next()
		}
		var err error
		switch {
		case word == "from" && !not:
			side = &p.out.Src
		case word == "to" && !not:
			side = &p.out.Dst
		case side == nil:
			err = p.packet(word, not)
		default:
			err = p.side(side, word, not)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// packet reads a condition that is of no side.
func (p *ruleParser) packet(word string, not bool) error {
	switch {
	case word == "icmp-type":
		m, err := parseICMP(p.next())
		if not {
			p.out.NotICMP = m
		} else {
			p.out.ICMP = m
		}
		return err
	case !not && (word == "ipv4" || word == "ipv6"):
		p.out.Family = word[3] - '0'
		return nil
	}
	proto, err := p.proto(word)
	if not {
		p.out.NotProto = proto
	} else {
		p.out.Proto = proto
	}
	return err
}

func (p *ruleParser) proto(word string) (uint8, error) {
	for n, name := range protoNames {
		if name == word {
			return n, nil
		}
	}
	if word != "protocol" {
		return 0, fmt.Errorf("%q is no condition", word)
	}
	n, err := parseNumber(p.next(), 255)
	if err == nil && n == 0 {
		err = fmt.Errorf("protocol 0 is none")
	}
	return uint8(n), err
}

func parseICMP(s string) (*ICMP, error) {
	typ, code, has := strings.Cut(s, "/")
	n, err := parseNumber(typ, 255)
	if err != nil {
		return nil, err
	}
	m := &ICMP{Type: uint8(n), HasCode: has}
	if has {
		n, err = parseNumber(code, 255)
		m.Code = uint8(n)
	}
	return m, err
}

// side reads a list of conditions on one side.
func (p *ruleParser) side(s *Side, word string, not bool) error {
	list := strings.Split(p.next(), ",")
	names := map[string][2]*[]string{"set": {&s.Sets, &s.NotSets}, "named-ports": {&s.NamedPorts, &s.NotNamedPorts}}
	at := 0
	if not {
		at = 1
	}
	switch {
	case word == "net":
		return parseList([]*[]netip.Prefix{&s.Nets, &s.NotNets}[at], list, netip.ParsePrefix)
	case word == "ports":
		return parseList([]*[]PortRange{&s.Ports, &s.NotPorts}[at], list, parsePorts)
	case names[word][0] != nil:
		return parseList(names[word][at], list, func(name string) (string, error) {
			if name == "" {
				return "", fmt.Errorf("a set without a name")
			}
			return name, nil
		})
	}
	return fmt.Errorf("%q is no condition on an address or a port", word)
}

func parseList[T any](out *[]T, list []string, parse func(string) (T, error)) error {
	for _, s := range list {
		v, err := parse(s)
		if err != nil {
			return err
		}
		*out = append(*out, v)
	}
	return nil
}

func parsePorts(s string) (r PortRange, err error) {
	first, last, isRange := strings.Cut(s, ":")
	n, err := parseNumber(first, 65535)
	if err != nil {
		return r, err
	}
	r.First, r.Last = uint16(n), uint16(n)
	if isRange {
		n, err = parseNumber(last, 65535)
		r.Last = uint16(n)
	}
	return r, err
}

func parseNumber(s string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", s, most)
	}
	return n, nil
}
