package fiojob

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/google/go-cmp/cmp"
)

func TestTableIsWellFormed(t *testing.T) {
	options := Options()
	if len(options) > maxOptions {
		t.Fatalf("%d options do not fit into a set of %d", len(options), maxOptions)
	}
	groups := make(map[Group]bool)
	for _, g := range Groups() {
		groups[g] = true
	}
	for _, o := range options {
		if !groups[o.Group] {
			t.Errorf("%s: group %q is not listed", o.Name, o.Group)
		}
		if o.Help == "" || strings.HasSuffix(o.Help, ".") {
			t.Errorf("%s: help %q", o.Name, o.Help)
		}
		if (o.Effect == Works) != (o.Why == "") {
			t.Errorf("%s: effect %d with reason %q", o.Name, o.Effect, o.Why)
		}
		if o.Kind.Syntax() == "" && !o.StandsAlone() {
			t.Errorf("%s needs a value and does not say which", o.Name)
		}
		for _, w := range o.Kind.Words() {
			if w.Means != "" && !hasWord(o.Kind, w.Means) {
				t.Errorf("%s: %s stands for %s, which is no value", o.Name, w.Name, w.Means)
			}
		}
	}
}

func hasWord(k Kind, name string) bool {
	for _, w := range k.Words() {
		if w.Name == name {
			return true
		}
	}
	return false
}

// The defaults that help and docs show are those that a job has.
func TestDefaultsAgree(t *testing.T) {
	x := table()
	for i, o := range x.options {
		if o.Switch || o.Effect != Works || o.Default == "" {
			continue
		}
		d := draft{Job: workloads.DefaultJob(), kbBase: 1024}
		d.Engine = "psync"
		before := d
		if trap, err := d.apply(i, o.Default, false); err != nil || trap != "" {
			t.Errorf("%s: its default %q: %v %s", o.Name, o.Default, err, trap)
			continue
		}
		// What only says that the user gave the option.
		d.Offset.Set, d.OffsetIncrement.Set, d.BatchSubmitSet, d.BatchCompleteSet, d.RandSeedSet = false, false, false, false, false
		d.RandSeed = before.RandSeed
		before.settleSizes()
		d.settleSizes()
		before.settleFiles()
		d.settleFiles()
		if diff := cmp.Diff(before.Job, d.Job); diff != "" {
			t.Errorf("%s=%s changes the default job:\n%s", o.Name, o.Default, diff)
		}
	}
}

func TestKnowsFiosOptions(t *testing.T) {
	f, err := os.Open("testdata/fio-3.42-options.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	n := 0
	for lines.Scan() {
		name := lines.Text()
		if strings.HasPrefix(name, "#") {
			continue
		}
		n++
		if _, ok := Lookup(name); !ok {
			t.Errorf("fio 3.42 has an option %s", name)
		}
	}
	if n < 250 {
		t.Errorf("the list has only %d names", n)
	}
}

func TestKnowsInstalledFio(t *testing.T) {
	testlab.Require(t, "fio")
	run := func(args ...string) string {
		out, err := testlab.Command(t, "fio", args...).Output()
		if len(out) == 0 { // its exit code is 1 for some engines although it answers
			t.Fatalf("fio %q: %v", args, err)
		}
		return string(out)
	}
	name := regexp.MustCompile(`(?m)^ *([a-z][a-z0-9_-]*) *: `)
	for _, m := range name.FindAllStringSubmatch(run("--cmdhelp=all"), -1) {
		if _, ok := Lookup(m[1]); !ok {
			t.Errorf("the installed fio has an option %s", m[1])
		}
	}
	for engine := range strings.FieldsSeq(strings.TrimPrefix(run("--enghelp"), "Available IO engines:")) {
		if _, ok := EngineNamed(engine); !ok {
			t.Errorf("the installed fio has an engine %s", engine)
		}
		for _, m := range name.FindAllStringSubmatch(run("--enghelp="+engine), -1) {
			if _, ok := Lookup(m[1]); !ok {
				t.Errorf("the installed fio's engine %s has an option %s", engine, m[1])
			}
		}
	}
}

func TestHelp(t *testing.T) {
	var b strings.Builder
	if err := WriteHelp(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > helpWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"--rw=", "--iodepth=N", "--destroy=NAME", "--time_based[=0|1]", string(GroupVerify)} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("help does not mention %s", want)
		}
	}
	if strings.Contains(b.String(), "cgroup_weight") || strings.Contains(b.String(), "http_host") {
		t.Error("help lists options that are not supported")
	}

	b.Reset()
	if err := WriteCmdHelp(&b, "blocksize"); err != nil || !strings.Contains(b.String(), "default: 4096") || !strings.Contains(b.String(), "alias: blocksize") {
		t.Errorf("cmdhelp of blocksize: %v\n%s", err, b.String())
	}
	if err := WriteCmdHelp(&b, "blocksiez"); err == nil {
		t.Error("cmdhelp of an option that is not there succeeds")
	}
	b.Reset()
	if err := WriteEngHelp(&b, "io_uring"); err != nil || !strings.Contains(b.String(), "fixedbufs") || strings.Contains(b.String(), "userspace_reap") {
		t.Errorf("enghelp of io_uring: %v\n%s", err, b.String())
	}
	if err := WriteEngHelp(&b, "rbd"); err == nil {
		t.Error("enghelp of a missing engine succeeds")
	}
}

func TestComplete(t *testing.T) {
	tests := []struct {
		word string
		want []string // the words without their descriptions
	}{
		{"--randr", []string{"--randrepeat="}},
		{"--rwm", []string{"--rwmixread=", "--rwmixwrite="}},
		{"--time_b", []string{"--time_based"}},
		{"--rw=randr", []string{"--rw=randread", "--rw=randrw"}},
		{"--ioengine=io", []string{"--ioengine=io_uring", "--ioengine=io_uring_cmd"}},
		{"--bs=", nil},
		{"--nosuch=", nil},
		{"--cgroup", nil},
	}
	for _, tt := range tests {
		var got []string
		for _, c := range Complete(tt.word) {
			word, _, _ := strings.Cut(c, "\t")
			got = append(got, word)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s:\n%s", tt.word, diff)
		}
	}
}

func TestShellCommand(t *testing.T) {
	args := []string{"--name=a b", "--bs=4k", "", "it's", "$HOME", "--size=50%"}
	out, err := testlab.Command(t, "sh", "-c", ShellCommand("printf '%s\\n'", args)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Join(args, "\n")+"\n", string(out)); diff != "" {
		t.Error(diff)
	}
}

func TestNearest(t *testing.T) {
	tests := []struct{ word, want string }{
		{"iodeph", "iodepth"},
		{"rwmixraed", "rwmixread"},
		{"blocksize ", "blocksize"},
		{"RW", "rw"},
		{"number_io", "number_ios"},
		{"qqqqqqqq", ""},
		{"", ""},
		{strings.Repeat("x", 1000), ""},
	}
	for _, tt := range tests {
		if got := nearest(tt.word, table().names); got != tt.want {
			t.Errorf("nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}
