package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
)

// A besideFile is a job file of testdata/beside, which fio and blkmeter both run. Its comments say what may differ:
// "# amounts within 8 %" of I/Os that chance assigns to a direction or a block size, "# amounts by chance"
// altogether; "# offsets by chance" within the bounds of the region. "# exit status 1" is what both end with,
// "# refused" says that blkmeter does so before it starts, and "# the same data in FILE" that both leave it so.
type besideFile struct {
	path    string
	plan    *workloads.Plan
	loose   float64 // percent
	chance  bool    // decides how much is done
	offsets bool    // chance decides which are used
	exit    int
	refused bool
	same    string // a file with the same data afterwards
	devices bool   // the jobs use the loop devices
	lacks   string // an option that blkmeter refuses
}

// besideEnv are the variables that the job files use. Devices are filled in for each program.
func besideEnv(device, short string) func(string) string {
	return func(name string) string {
		return map[string]string{"DEVICE": device, "SHORT_DEVICE": short, "BS": "4k", "SIZE": "64k", "NAME": "from the environment", "RW": "write"}[name]
	}
}

func besideFiles(t *testing.T) []besideFile {
	t.Helper()
	paths, err := filepath.Glob("testdata/beside/*.fio")
	if err != nil || len(paths) < 40 {
		t.Fatalf("%d job files, %v", len(paths), err)
	}
	amounts, exit := regexp.MustCompile(`(?m)^# amounts within (\d+) %$`), regexp.MustCompile(`(?m)^# exit status (\d+)$`)
	same := regexp.MustCompile(`(?m)^# the same data in (\S+)$`)
	var files []besideFile
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f := besideFile{
			path: path, chance: strings.Contains(string(text), "# amounts by chance\n"), offsets: strings.Contains(string(text), "# offsets by chance\n"),
			devices: strings.Contains(string(text), "DEVICE}"), refused: strings.Contains(string(text), "# refused\n"),
		}
		if m := amounts.FindSubmatch(text); m != nil {
			f.loose, _ = strconv.ParseFloat(string(m[1]), 64)
		}
		if m := same.FindSubmatch(text); m != nil {
			f.same = string(m[1])
		}
		if m := exit.FindSubmatch(text); m != nil {
			f.exit, _ = strconv.Atoi(string(m[1]))
		}
		o := fiojob.ParseOptions{Fio: true, Env: besideEnv("/dev/loop0", "/dev/loop1"), NCPUs: 2, PageBytes: 4096, MemoryBytes: 1 << 30}
		if f.plan, _, err = fiojob.ParseArgs([]string{path}, o); err != nil {
			if fault.Of(err).Code != "OPTION_UNSUPPORTED" {
				t.Errorf("%s: %v", path, err)
			}
			f.plan, f.lacks = &workloads.Plan{}, err.Error()
		}
		files = append(files, f)
	}
	return files
}

// Every option that the world uses, by the tiers of testdata/beside/options.txt, is in a job file that is compared
// with fio, or the list says why not.
func TestSideBySideCoversTheOptions(t *testing.T) {
	used := map[string]bool{}
	for _, f := range besideFiles(t) {
		for _, o := range f.plan.Globals {
			used[o.Name] = true
		}
		for i := range f.plan.Jobs {
			for _, o := range f.plan.Jobs[i].Options {
				used[o.Name] = true
			}
		}
	}
	for _, arg := range besideArgs("", nil) {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		used[name] = true
	}
	list, err := os.Open("testdata/beside/options.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	listed := 0
	for lines := bufio.NewScanner(list); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		line, reason, excused := strings.Cut(line, ":")
		tier, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		listed++
		o, known := fiojob.Lookup(name)
		switch {
		case !known || o.Name != name:
			t.Errorf("%s is no option's name", name)
		case !excused && !used[name]:
			t.Errorf("option %s of tier %s is in no job file that is compared with fio", name, tier)
		case excused && used[name]:
			t.Errorf("option %s is excused (%s) and used", name, strings.TrimSpace(reason))
		case excused && o.Effect == fiojob.Refused != strings.HasPrefix(strings.TrimSpace(reason), "refused"):
			t.Errorf("option %s is excused with %q", name, strings.TrimSpace(reason))
		}
	}
	if listed < 100 {
		t.Errorf("only %d options are listed", listed)
	}
}

// besideArgs is the command line that both run a job file with: it logs every I/O.
func besideArgs(path string, more []string) []string {
	return append(append([]string{"--output=result.json", "--output-format=json", "--max-jobs=64", "--write_iops_log=every", "--log_offset=1"}, more...), path)
}

// The same job file does the same I/O with Debian's fio and with blkmeter: bytes and I/Os, in directions, of block
// sizes, syncs, and where.
func TestSideBySideWithFio(t *testing.T) {
	testlab.Require(t, "fio", "loop")
	for _, f := range besideFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(f.path), ".fio"), func(t *testing.T) {
			if f.lacks != "" {
				t.Skip(f.lacks)
			}
			theirs, ours := f.run(t, false), f.run(t, true)
			if f.refused {
				if len(ours.jobs) > 0 {
					t.Error("blkmeter ran it")
				}
				return
			}
			if len(theirs.jobs) != len(ours.jobs) {
				t.Fatalf("%d entries, fio has %d", len(ours.jobs), len(theirs.jobs))
			}
			for i := range theirs.jobs {
				f.compareEntry(t, &ours.jobs[i], &theirs.jobs[i])
			}
			if diff := gocmp.Diff(theirs.files, ours.files); diff != "" {
				t.Errorf("files left, and their sizes: -fio +blkmeter\n%s", diff)
			}
			if !bytes.Equal(theirs.data, ours.data) {
				t.Errorf("%s does not hold the same data", f.same)
			}
			for i, log := range theirs.logs {
				if len(log) > 0 { // fio logs nothing for gtod_reduce and disable_bw
					f.compareLog(t, f.plan.Jobs[i].Name, ours.logs[i], log)
				}
			}
		})
	}
}

// besideRun is what one of the two did.
type besideRun struct {
	jobs  []fioJob
	logs  [][]loggedIO     // of each job, all clones together
	files map[string]int64 // that it left, logs aside: bytes by name
	data  []byte           // of the file that is to be the same
}

// loggedIO is a line of a log.
type loggedIO struct {
	dir           workloads.Direction
	bytes, offset int64
}

// run runs the job file. When fio hangs, which is not what is tested, it gets two more chances.
func (f *besideFile) run(t *testing.T, asBlkmeter bool) besideRun {
	t.Helper()
	for range 3 {
		if run, hung := f.attempt(t, asBlkmeter); !hung {
			return run
		}
		t.Log("fio hung")
	}
	t.Fatal("fio always hangs")
	return besideRun{}
}

// attempt runs the job file in a directory of its own, on devices of its own, unless fio hangs.
func (f *besideFile) attempt(t *testing.T, asBlkmeter bool) (run besideRun, hung bool) {
	t.Helper()
	path, err := filepath.Abs(f.path)
	if err != nil {
		t.Fatal(err)
	}
	dir := testlab.Dir(t, false)
	var device, short string
	var more []string
	if f.devices {
		whole := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 16 << 20, DirectIO: true})
		cut := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 4 << 20, DirectIO: true})
		if err := os.Truncate(cut.Backing, 3<<20); err != nil { // reads behind it fail
			t.Fatal(err)
		}
		device, short = whole.Path, cut.Path
		if asBlkmeter {
			more = []string{"--destroy=" + whole.Name}
		}
	}
	args := besideArgs(path, more)
	program := testlab.Command(t, "fio", args...)
	if asBlkmeter {
		program = blkmeter(t, append([]string{"fio"}, args...)...)
	}
	program.Env = os.Environ()
	for _, name := range []string{"DEVICE", "SHORT_DEVICE", "BS", "SIZE", "NAME", "RW"} {
		program.Env = append(program.Env, name+"="+besideEnv(device, short)(name))
	}
	stdout, stderr, exit := output(t, dir, program)
	if program.Hung() {
		return besideRun{}, true
	}
	if exit != f.exit {
		t.Fatalf("%s: exit status %d, want %d\n%s%s", program.Args[0], exit, f.exit, stdout, stderr)
	}
	text, err := os.ReadFile(filepath.Join(dir, "result.json"))
	if asBlkmeter && f.refused && errors.Is(err, fs.ErrNotExist) {
		return run, false
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, d := range documentsIn(t, jsonOf(t, string(text))) {
		run.jobs = append(run.jobs, d.Jobs...)
	}
	run.files = map[string]int64{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name() != "result.json" && !strings.HasSuffix(e.Name(), ".log") {
			run.files[e.Name()] = info.Size()
		}
	}
	if f.same != "" {
		if run.data, err = os.ReadFile(filepath.Join(dir, f.same)); err != nil {
			t.Fatal(err)
		}
	}
	number := 0
	for i := range f.plan.Jobs {
		var log []loggedIO
		for range f.plan.Jobs[i].NumJobs {
			number++
			lines, err := readLog(filepath.Join(dir, fmt.Sprintf("every_iops.%d.log", number)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			log = append(log, lines...)
		}
		run.logs = append(run.logs, log)
	}
	return run, false
}

// readLog reads a log of single I/Os: time, value, direction, bytes, offset, priority.
func readLog(path string) ([]loggedIO, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var ios []loggedIO
	for line := range strings.Lines(string(text)) {
		var at, value, priority int64
		var io loggedIO
		if _, err := fmt.Sscanf(line, "%d, %d, %d, %d, %d, %d", &at, &value, &io.dir, &io.bytes, &io.offset, &priority); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, line, err)
		}
		ios = append(ios, io)
	}
	return ios, nil
}

// compareEntry compares how much was done.
func (f *besideFile) compareEntry(t *testing.T, ours, theirs *fioJob) {
	t.Helper()
	if ours.Name != theirs.Name || ours.Error != theirs.Error {
		t.Errorf("entry %q with error %d, fio has %q with %d", ours.Name, ours.Error, theirs.Name, theirs.Error)
	}
	var all, want int64
	for _, d := range []struct {
		name       string
		us, theirs *fioDirection
	}{{"read", &ours.Read, &theirs.Read}, {"write", &ours.Write, &theirs.Write}, {"trim", &ours.Trim, &theirs.Trim}} {
		all, want = all+d.us.Bytes, want+d.theirs.Bytes
		if f.chance {
			if (d.us.IOs == 0) != (d.theirs.IOs == 0) {
				t.Errorf("job %s: %d I/Os of %s, fio has %d", ours.Name, d.us.IOs, d.name, d.theirs.IOs)
			}
			continue
		}
		if !near(d.us.Bytes, d.theirs.Bytes, f.loose) || !near(d.us.IOs, d.theirs.IOs, f.loose) {
			t.Errorf("job %s: %d bytes and %d I/Os of %s, fio has %d and %d", ours.Name, d.us.Bytes, d.us.IOs, d.name, d.theirs.Bytes, d.theirs.IOs)
		}
	}
	if !f.chance && !near(all, want, f.loose/8) {
		t.Errorf("job %s: %d bytes in all, fio has %d", ours.Name, all, want)
	}
	// fio leaves out the fsync behind the last write, and counts none but those of fsync=.
	if got, want := ours.Sync.IOs, theirs.Sync.IOs; want > 0 && (got < want || got > want+1) {
		t.Errorf("job %s: %d syncs, fio has %d", ours.Name, got, want)
	}
}

// near says whether a is b, or within so many percent of it.
func near(a, b int64, percent float64) bool {
	return math.Abs(float64(a-b)) <= float64(b)*percent/100
}

// compareLog compares which I/Os were done: all of them one by one, or, where chance decides, the shares of
// directions and block sizes, the bounds, and how much of the I/O falls on the busiest tenth of the blocks.
func (f *besideFile) compareLog(t *testing.T, name string, ours, theirs []loggedIO) {
	t.Helper()
	if f.chance {
		return
	}
	if !f.offsets {
		order := func(a, b loggedIO) int {
			return cmp.Or(cmp.Compare(a.dir, b.dir), cmp.Compare(a.offset, b.offset), cmp.Compare(a.bytes, b.bytes))
		}
		slices.SortFunc(ours, order)
		slices.SortFunc(theirs, order)
		if i := firstDifference(ours, theirs); i >= 0 {
			t.Errorf("%s: %d I/Os, fio did %d; ours from the %dth on, in order of offset: %+v, fio's: %+v", name, len(ours), len(theirs), i, some(ours, i), some(theirs, i))
		}
		return
	}
	us, them := summaryOf(ours), summaryOf(theirs)
	for size := range them.sizes {
		if !near(us.sizes[size], them.sizes[size], 0) && math.Abs(float64(us.sizes[size])/float64(len(ours))-float64(them.sizes[size])/float64(len(theirs)))*100 > max(f.loose, 0.01) {
			t.Errorf("%s: %d of %d I/Os are %ss of %d bytes, with fio %d of %d", name, us.sizes[size], len(ours), size.dir, size.bytes, them.sizes[size], len(theirs))
		}
	}
	for size, n := range us.sizes {
		if them.sizes[size] == 0 && float64(n) > float64(len(ours))/1000 {
			t.Errorf("%s: %d I/Os are %ss of %d bytes, with fio none", name, n, size.dir, size.bytes)
		}
	}
	slack := (them.high - them.low) / 16
	if us.low < them.low-slack || us.low > them.low+slack || us.high < them.high-slack || us.high > them.high+slack {
		t.Errorf("%s: bytes %d to %d were used, with fio %d to %d", name, us.low, us.high, them.low, them.high)
	}
	if math.Abs(us.busiest-them.busiest) > 0.1 {
		t.Errorf("%s: the busiest tenth of the blocks got %.0f %% of the I/Os, with fio %.0f %%", name, 100*us.busiest, 100*them.busiest)
	}
}

func firstDifference(a, b []loggedIO) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}

func some(ios []loggedIO, from int) []loggedIO {
	from = min(from, len(ios))
	return ios[from:min(from+4, len(ios))]
}

// ioSummary is what can be said of I/Os that chance chose.
type ioSummary struct {
	sizes     map[ioKind]int64
	low, high int64
	busiest   float64 // share of the I/Os that the busiest tenth of the blocks got
}

type ioKind struct {
	dir   workloads.Direction
	bytes int64
}

func summaryOf(ios []loggedIO) ioSummary {
	s := ioSummary{sizes: map[ioKind]int64{}, low: math.MaxInt64}
	blocks := map[int64]int{}
	for _, io := range ios {
		size := io.bytes
		if size%512 != 0 { // one of thousands
			size = (size + 1023) / 1024 * 1024
		}
		s.sizes[ioKind{io.dir, size}]++
		s.low, s.high = min(s.low, io.offset), max(s.high, io.offset+io.bytes)
		blocks[io.offset/4096]++
	}
	counts := slices.Sorted(maps.Values(blocks))
	most := 0
	for _, n := range counts[len(counts)-(len(counts)+9)/10:] {
		most += n
	}
	s.busiest = float64(most) / float64(max(len(ios), 1))
	return s
}
