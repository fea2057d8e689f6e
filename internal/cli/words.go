package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// split cuts a line into words. Quotes of either kind keep blanks in a word,
// and # at the start of a word starts a comment.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	inWord := false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\r' || r == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		case r == '#' && !inWord:
			return words, nil
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, usagef("a quote %c is not closed", quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// expand returns args with the words of commands written out, and fails on
// one that is unknown, or short for several, or missing at the end.
func expand(root *cobra.Command, args []string) ([]string, error) {
	out := slices.Clone(args)
	cmd := root
	help := false
	for i := 0; i < len(args) && cmd.HasSubCommands(); i++ {
		arg := args[i]
		if arg == "--" {
			break
		}
		if isFlag(arg) {
			help = help || arg == "-h" || arg == "--help"
			i += flagValues(cmd, arg)
			continue
		}
		if strings.HasPrefix(arg, "__") {
			return out, nil // cobra's, for the completion in shells
		}
		next, err := child(cmd, arg)
		if err != nil {
			return nil, err
		}
		if next == nil {
			break // an argument of cmd itself
		}
		out[i], cmd = next.Name(), next
	}
	if !cmd.Runnable() && cmd != root && !help {
		return nil, usagef("%s: what? One of: %s", path(cmd), strings.Join(childNames(cmd), ", "))
	}
	return out, nil
}

// child returns the part of cmd that word names or is short for; nil if it
// names none but cmd takes arguments.
func child(cmd *cobra.Command, word string) (*cobra.Command, error) {
	var found []*cobra.Command
	for _, c := range cmd.Commands() {
		if c.Name() == word || c.HasAlias(word) {
			return c, nil
		}
		if word != "" && strings.HasPrefix(c.Name(), word) && !c.Hidden {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		names := make([]string, len(found))
		for i, c := range found {
			names[i] = c.Name()
		}
		return nil, usagef("%s is short for several: %s", path(cmd, word), strings.Join(names, ", "))
	case cmd.Runnable() && cmd.HasParent():
		return nil, nil
	}
	return nil, usagef("%s: unknown word. One of: %s", path(cmd, word), strings.Join(childNames(cmd), ", "))
}

// path returns the words that lead to cmd, and more after them.
func path(cmd *cobra.Command, more ...string) string {
	_, words, _ := strings.Cut(cmd.CommandPath(), " ")
	return strings.TrimSpace(words + " " + strings.Join(more, " "))
}

func childNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	return names
}

func isFlag(arg string) bool { return len(arg) > 1 && arg[0] == '-' }

// flagValues returns how many of the words after the flag arg are its value.
func flagValues(cmd *cobra.Command, arg string) int {
	var f *pflag.Flag
	if name, long := strings.CutPrefix(arg, "--"); long {
		if strings.Contains(name, "=") {
			return 0
		}
		if f = cmd.Flags().Lookup(name); f == nil {
			f = cmd.Root().PersistentFlags().Lookup(name)
		}
	} else if len(arg) == 2 {
		f = cmd.Root().PersistentFlags().ShorthandLookup(arg[1:])
	}
	if f == nil || f.NoOptDefVal != "" {
		return 0
	}
	return 1
}
