package fiojob

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/google/go-cmp/cmp"
)

// Sections, comments, includes, variables and expressions come out of --showcmd as they come out of fio's.
func TestJobFilesAgainstFio(t *testing.T) {
	testlab.Require(t, "fio")
	lines := []string{
		"bs=8k", "bs=4k,16k", "rw=randrw", "iodepth=${DEPTH}", "ioengine=libaio", "time_based\nruntime=5", "size=1g", "numjobs=2",
		"stonewall", "filename=/tmp/x", "group_reporting", "size=2*$pagesize", "norandommap=0", "  iodepth =5  ", "bs=4k # cut", "bs=4k;cut",
		"include inc.fio", "include sub/inc.fio", "thread", "rate=1m,2m", "randseed=$pagesize", "size=(3+$pagesize)*4096/3%1000000+4096",
		"offset=10%", "#comment", "", "\t", "blocksize=4k", "readwrite=write", "size=${A}1${A}m", "timeout=7", "iomem=mmap",
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"inc.fio": "direct=1\n;c\nrwmixread=70 \n", "sub/inc.fio": "include more.fio\n", "sub/more.fio": "loops=3\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 12 {
		var b strings.Builder
		for range 8 + random.IntN(8) {
			fmt.Fprintf(&b, "[%s]\n", [...]string{"a", "b c", "x]y", "job/1"}[random.IntN(4)])
			for range random.IntN(6) {
				b.WriteString(lines[random.IntN(len(lines))] + "\n")
			}
		}
		b.WriteString("[last]\nsize=1m\n")
		path := filepath.Join(dir, "x.fio")
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		command := testlab.Command(t, "fio", "--showcmd", path)
		command.Env = append(os.Environ(), "DEPTH=16", "A=")
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s\n%v", b.String(), err)
		}
		_, settings, err := ParseArgs([]string{"--showcmd", path}, ParseOptions{
			PageBytes: os.Getpagesize(),
			Env:       func(name string) string { return map[string]string{"DEPTH": "16"}[name] },
		})
		if err != nil {
			t.Fatalf("%s\n%v", b.String(), err)
		}
		var words []string
		for word := range strings.SplitSeq(strings.TrimPrefix(string(out), "fio"), " --") {
			words = append(words, "--"+strings.TrimSpace(word))
		}
		if diff := cmp.Diff(byJob(words[1:]), byJob(settings.Command)); diff != "" {
			t.Errorf("%s\n%s", b.String(), diff)
		}
	}
}

// byJob cuts a command line at its jobs and sorts the options of each, since fio moves some.
func byJob(words []string) [][]string {
	var jobs [][]string
	for _, w := range words {
		if strings.HasPrefix(w, "--name=") {
			jobs = append(jobs, nil)
		}
		jobs[len(jobs)-1] = append(jobs[len(jobs)-1], w)
	}
	for _, options := range jobs {
		slices.Sort(options)
	}
	return jobs
}
