package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
)

const repository = "../.."

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the contents of the page's code blocks in that language.
func blocks(page, language string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		found = append(found, m[1])
	}
	return found
}

// Every command that the pages show is one that this program takes, with those options. Nothing is run.
func TestCommandsOfThePagesAreTaken(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(repository, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	jobFile := filepath.Join(t.TempDir(), "job.fio")
	if err := os.WriteFile(jobFile, []byte("[job]\nfilename=x\nrw=read\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, page := range append(pages, filepath.Join(repository, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.Join(blocks(string(text), "sh"), "")) {
			words := strings.Fields(line)
			if slices.Equal(words[:min(3, len(words))], []string{"go", "run", "./cmd/blkmeter"}) {
				words = words[2:]
			} else if len(words) == 0 || words[0] != "blkmeter" {
				continue
			}
			commands++
			for i, w := range words {
				if w == "job.fio" {
					words[i] = jobFile
				}
			}
			if err := taken(words[1:]); err != nil {
				t.Errorf("%s shows %q, but: %v", page, strings.TrimSpace(line), err)
			}
		}
	}
	if commands < 5 {
		t.Errorf("only %d commands found on the pages", commands)
	}
}

// taken says whether the program takes the arguments.
func taken(args []string) error {
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, env: os.Getenv}
	cmd, rest, err := newRootCommand(a).Find(args)
	switch {
	case err != nil:
		return err
	case !cmd.HasParent():
		return fault.Usage("UNKNOWN_COMMAND", "", "there is no command %v", args)
	case !cmd.DisableFlagParsing:
		if err := cmd.ParseFlags(rest); err != nil {
			return err
		}
		return cmd.ValidateArgs(cmd.Flags().Args())
	}
	_, _, err = fiojob.ParseArgs(rest, a.parseOptions())
	return err
}

// What the README calls the tests is what continuous integration runs.
func TestTheChecksRunTheTestsOfTheREADME(t *testing.T) {
	const command = "go test ./...\n"
	if first := blocks(readPage(t, "README.md"), "sh")[0]; !strings.HasSuffix(first, "\n"+command) {
		t.Errorf("the first commands of the README are %q, without %q", first, command)
	}
	if !strings.Contains(readPage(t, ".ci/run"), "\n"+command) {
		t.Errorf(".ci/run does not run %q", command)
	}
}

// The output that the README shows is laid out as the program's: each label there is one that a run prints.
func TestTheREADMEShowsWhatARunPrints(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(data, bytes.Repeat([]byte("data"), 1<<18), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	exit := execute(&app{
		args:  []string{"blkmeter", "run", "--name=rand-read", "--filename=" + data, "--rw=randread", "--bs=4k", "--direct=0", "--iodepth=32"},
		stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, env: func(string) string { return "" },
	})
	if exit != fault.ExitDone {
		t.Fatalf("exit code %d: %s", exit, &stderr)
	}
	printed := labels(stdout.String())
	shown := labels(blocks(readPage(t, "README.md"), "text")[0])
	if len(shown) < 10 {
		t.Errorf("only %d labels in the README's output: %v", len(shown), shown)
	}
	for _, label := range shown {
		// Counters and phases are those of other devices and jobs.
		if !slices.Contains([]string{"kernel", "seq-read"}, label) && !slices.Contains(printed, label) {
			t.Errorf("the README shows %q, which a run does not print:\n%s", label, &stdout)
		}
	}
}

// labels returns the words with which the lines of a report begin, without its figures.
func labels(text string) []string {
	begin := regexp.MustCompile(`(?m)^(?:  )?([a-z][a-z-]*(?: +(?:slat|clat|lat)\b)?)`)
	var found []string
	for _, m := range begin.FindAllStringSubmatch(text, -1) {
		found = append(found, strings.Join(strings.Fields(m[1]), " "))
	}
	slices.Sort(found)
	return slices.Compact(found)
}
