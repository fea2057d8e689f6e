// Command all answers one question: how fast is Skein on this machine?
//
// It runs the benchmarks section by section and writes their medians and
// spreads into bench/RESULTS.md, each with its machine, commit, load and
// command:
//
//	sudo go run ./bench/all
//	sudo go run ./bench/all -only graph,policy -raw new.txt
//
// What goes in between a section's marks in that file is replaced, all else
// stays. Run it from the root of the repository, as root, as some sections make
// network namespaces. Maturity: stable.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	only := flag.String("only", "", "sections to run, with commas between them; all of them if empty")
	count := flag.Int("count", 0, "runs of each benchmark; 0: what the section says")
	out := flag.String("o", "bench/RESULTS.md", "file whose sections are replaced")
	rawFile := flag.String("raw", "", "file to append go test's output to, for benchstat")
	flag.Parse()
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	raw := io.Discard
	if *rawFile != "" {
		f, err := os.OpenFile(*rawFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("all: %w", err)
		}
		defer f.Close()
		raw = f
	}
	host, err := describe(ctx)
	if err != nil {
		return err
	}
	for _, s := range chosen {
		if *count > 0 {
			s.count = *count
		}
		if err := measure(ctx, s, host, *out, raw); err != nil {
			return err
		}
	}
	return nil
}

// choose returns the sections that are named.
func choose(names string) ([]section, error) {
	if names == "" {
		return sections, nil
	}
	var chosen []section
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(sections, func(s section) bool { return s.name == name })
		if i < 0 {
			var all []string
			for _, s := range sections {
				all = append(all, s.name)
			}
			return nil, fmt.Errorf("all: no section %q; there are %s", name, strings.Join(all, ", "))
		}
		chosen = append(chosen, sections[i])
	}
	return chosen, nil
}

// command is what measures the section.
func (s section) command() []string {
	return []string{"go", "test", "-run", "^$", "-bench", s.bench, "-benchtime", s.time, "-count", "1", "-timeout", "60m", s.pkg}
}

// measure runs a section and writes what it has found.
func measure(ctx context.Context, s section, host machine, file string, raw io.Writer) error {
	args := s.command()
	fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, quoted(args))
	before := load()
	var text []byte
	for range s.count { // all of it each time: a slow second of the machine then spoils one run of a row, not all of them
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it takes its namespaces down
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("all: %s: %w\n%s", s.name, err, out)
		}
		text = append(text, out...)
	}
	if _, err := raw.Write(text); err != nil {
		return fmt.Errorf("all: %w", err)
	}
	rows, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("all: %s: %w", s.name, err)
	}
	was, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("all: %w", err)
	}
	now := replace(string(was), s.name, s.render(rows, host, before+" before, "+load()+" after", quoted(args)))
	if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
		return fmt.Errorf("all: %w", err)
	}
	return nil
}

// quoted is a command as one types it.
func quoted(args []string) string {
	out := slices.Clone(args)
	for i, a := range out {
		if strings.ContainsAny(a, "$^|?()*") {
			out[i] = "'" + a + "'"
		}
	}
	return strings.Join(out, " ")
}
