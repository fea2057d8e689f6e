package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

const promptText = "skein# "

// dialogue reads lines from the input: with a prompt from a terminal, else as
// a script.
func (s *session) dialogue(o options) error {
	s.opts = o // lines to come use the flags that the program was started with
	if in, ok := s.std.In.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		return s.prompt(in, s.std.Out, func() (func() error, error) { return raw(in) })
	}
	return s.script(s.std.In)
}

// raw puts a terminal into raw mode and returns how to leave it.
func raw(f *os.File) (func() error, error) {
	before, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("cli: terminal: %w", err)
	}
	return func() error { return term.Restore(int(f.Fd()), before) }, nil
}

// errQuit ends a dialogue, in good order.
var errQuit = errors.New("quit")

// line does what one line of a dialogue asks for.
func (s *session) line(text string) error {
	args, err := split(text)
	if err != nil || len(args) == 0 {
		return err
	}
	if len(args) == 1 && slices.Contains([]string{"quit", "exit", "q"}, args[0]) {
		return errQuit
	}
	return s.run(args, nil)
}

// script does line after line, up to the first that fails.
func (s *session) script(in io.Reader) error {
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		err := s.line(lines.Text())
		if errors.Is(err, errQuit) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cli: read the script: %w", err)
	}
	return nil
}

// prompt does line after line as a person types them. raw switches the terminal
// to raw mode, for as long as a line is being typed: interrupts and the output
// of commands need the other mode.
func (s *session) prompt(in io.Reader, out io.Writer, raw func() (restore func() error, err error)) error {
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, promptText)
	h, err := openHistory()
	if err != nil {
		fmt.Fprintf(s.std.Err, "skeinctl: no history: %v\n", err)
	}
	t.History = h
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		return s.key(t, line, pos, key)
	}
	for {
		resize(t, in)
		text, err := readLine(t, raw)
		if errors.Is(err, io.EOF) {
			fmt.Fprintln(out)
			return h.close()
		}
		if err != nil {
			return errors.Join(err, h.close())
		}
		err = s.line(text)
		if errors.Is(err, errQuit) {
			return h.close()
		}
		if err != nil {
			fmt.Fprintf(s.std.Err, "%v\n", err)
		}
	}
}

// resize tells t how large its window is by now.
func resize(t *term.Terminal, in io.Reader) {
	f, ok := in.(*os.File)
	if !ok {
		return
	}
	if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
		_ = t.SetSize(w, h) // fails only in writing, which the next line tells
	}
}

func readLine(t *term.Terminal, raw func() (func() error, error)) (string, error) {
	restore, err := raw()
	if err != nil {
		return "", err
	}
	text, err := t.ReadLine()
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	return text, errors.Join(err, restore())
}

// key handles the keys that do not stand for themselves: tab completes, and ?
// tells what may come next.
func (s *session) key(t io.Writer, line string, pos int, key rune) (string, int, bool) {
	switch key {
	case '\t':
		line, pos, choice := s.complete(line, pos)
		if len(choice) > 1 {
			fmt.Fprintln(t, strings.Join(choice, "  "))
		}
		return line, pos, true
	case '?':
		fmt.Fprint(t, s.help(line[:pos]))
		return line, pos, true
	}
	return "", 0, false
}

// complete returns the line with the word at pos completed as far as it is
// clear, and the choice of words there is.
func (s *session) complete(line string, pos int) (string, int, []string) {
	before, begun := cut(line[:pos])
	choice := s.candidates(before, begun)
	if len(choice) == 0 {
		return line, pos, nil
	}
	word := commonPrefix(choice)
	if len(choice) == 1 {
		word += " "
	}
	head := line[:pos-len(begun)] + word
	return head + line[pos:], len(head), choice
}

// cut returns the words of line, and apart from them the one that it ends in.
func cut(line string) (before []string, begun string) {
	before = strings.Fields(line)
	if n := len(before); n > 0 && !strings.HasSuffix(line, " ") && !strings.HasSuffix(line, "\t") {
		before, begun = before[:n-1], before[n-1]
	}
	return before, begun
}

func commonPrefix(all []string) string {
	p := all[0]
	for _, w := range all[1:] {
		for !strings.HasPrefix(w, p) {
			_, size := utf8.DecodeLastRuneInString(p)
			p = p[:len(p)-size]
		}
	}
	return p
}

// help tells what may follow line.
func (s *session) help(line string) string {
	before, begun := cut(line)
	cmd, args := walk(s.newRoot(nil), before)
	if cmd == nil {
		return "unknown words\n"
	}
	var b strings.Builder
	for _, c := range cmd.Commands() {
		if len(args) == 0 && c.IsAvailableCommand() && strings.HasPrefix(c.Name(), begun) {
			fmt.Fprintf(&b, "  %-22s %s\n", c.Name(), c.Short)
		}
	}
	if cmd.Runnable() && cmd.HasParent() {
		fmt.Fprintf(&b, "  %s\n", usage(cmd))
	}
	if b.Len() == 0 {
		return "nothing fits\n"
	}
	return b.String()
}
