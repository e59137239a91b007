package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/internal/testlab"
)

// asFio runs blkmeter fio in dir, and returns its stdout, stderr and exit code.
func asFio(t *testing.T, dir string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	return output(t, dir, blkmeter(t, append([]string{"fio"}, args...)...))
}

// blkmeter is the command that runs blkmeter.
func blkmeter(t *testing.T, args ...string) *testlab.Program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := testlab.Command(t, self)
	p.Args = append([]string{"blkmeter"}, args...)
	return p
}

// output runs a program in dir.
func output(t *testing.T, dir string, p *testlab.Program) (stdout, stderr string, exit int) {
	t.Helper()
	var out, words bytes.Buffer
	p.Dir, p.Stdout, p.Stderr = dir, &out, &words
	var failed *exec.ExitError
	err := p.Run()
	if p.Hung() && p.Args[0] == "blkmeter" {
		t.Fatalf("%q hung: %s", p.Args, &words)
	}
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return out.String(), words.String(), p.ProcessState.ExitCode()
}

// What a Go consumer of fio's JSON decodes: counts into integers, the rest into floats.
type (
	fioDocument struct {
		Version string            `json:"fio version"`
		Globals map[string]string `json:"global options"`
		Jobs    []fioJob          `json:"jobs"`
	}
	fioJob struct {
		Name       string             `json:"jobname"`
		Error      int                `json:"error"`
		ETA        int64              `json:"eta"`
		Elapsed    int64              `json:"elapsed"`
		Options    map[string]string  `json:"job options"`
		Read       fioDirection       `json:"read"`
		Write      fioDirection       `json:"write"`
		Trim       fioDirection       `json:"trim"`
		Mixed      *fioDirection      `json:"mixed"`
		Sync       fioSync            `json:"sync"`
		Runtime    int64              `json:"job_runtime"`
		User       float64            `json:"usr_cpu"`
		LatencyUS  map[string]float64 `json:"latency_us"`
		TotalErr   int64              `json:"total_err"`
		FirstError int                `json:"first_error"`
	}
	fioDirection struct {
		Bytes   int64      `json:"io_bytes"`
		BWBytes int64      `json:"bw_bytes"`
		BW      int64      `json:"bw"`
		IOPS    float64    `json:"iops"`
		Runtime int64      `json:"runtime"`
		IOs     int64      `json:"total_ios"`
		Slat    fioLatency `json:"slat_ns"`
		Clat    fioLatency `json:"clat_ns"`
		Lat     fioLatency `json:"lat_ns"`
	}
	fioSync struct {
		IOs int64      `json:"total_ios"`
		Lat fioLatency `json:"lat_ns"`
	}
	fioLatency struct {
		Min         int64            `json:"min"`
		Max         int64            `json:"max"`
		Mean        float64          `json:"mean"`
		N           int64            `json:"N"`
		Percentiles map[string]int64 `json:"percentile"`
		Bins        map[string]int64 `json:"bins"`
	}
)

// documentsIn decodes all JSON documents of an output, which must hold nothing else.
func documentsIn(t *testing.T, text string) []fioDocument {
	t.Helper()
	var all []fioDocument
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var d fioDocument
		err := dec.Decode(&d)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("document %d: %v in\n%s", len(all)+1, err, text)
		}
		all = append(all, d)
	}
}

// jsonOf cuts the JSON document out of an output with several formats, as fio's own tools do.
func jsonOf(t *testing.T, text string) string {
	t.Helper()
	m := regexp.MustCompile(`(?ms)^\{$.*?^\}$`).FindString(text)
	if m == "" {
		t.Fatalf("no JSON document in\n%s", text)
	}
	return m
}

// What people run on fio's output runs on that of a real run, and finds our own figures in it.
func TestConsumersOfARealRun(t *testing.T) {
	testlab.Require(t, "fio", "fio_jsonplus_clat2csv", "fio2gnuplot", "fio_generate_plots", "gnuplot", "python3")
	dir := testlab.Dir(t, true)
	const p = "job"
	stdout, stderr, exit := asFio(t, dir, "--name="+p, "--filename=data", "--size=4m", "--rw=randread", "--bs=4k", "--ioengine=libaio",
		"--iodepth=4", "--runtime=2", "--time_based", "--write_bw_log="+p, "--write_iops_log="+p, "--write_lat_log="+p, "--write_hist_log="+p,
		"--log_avg_msec=500", "--log_hist_msec=500", "--rate_iops=20000", "--output-format=normal,json+,terse", "--output=F")
	if exit != 0 || stdout != "" {
		t.Fatalf("exit code %d, stdout %q, stderr %s", exit, stdout, stderr)
	}
	text, err := os.ReadFile(filepath.Join(dir, "F"))
	if err != nil {
		t.Fatal(err)
	}
	document := jsonOf(t, string(text))
	j := documentsIn(t, document)[0].Jobs[0]
	checkConsistent(t, &j.Read)

	t.Run("fio_jsonplus_clat2csv", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "J"), []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		testlab.Output(t, dir, "fio_jsonplus_clat2csv", "J", "out.csv")
		f, err := os.Open(filepath.Join(dir, "out_job0.csv"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		rows := csv.NewReader(f)
		rows.TrimLeadingSpace = true
		table, err := rows.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		column := slices.Index(table[0], "read_clat_ns_cumulative")
		var last, p99 int64
		for _, row := range table[1:] {
			if n, err := strconv.ParseInt(row[column], 10, 64); err == nil {
				if last = n; p99 == 0 && float64(n) >= 0.99*float64(j.Read.Clat.N) {
					p99, _ = strconv.ParseInt(row[0], 10, 64)
				}
			}
		}
		if last != j.Read.Clat.N || p99 != j.Read.Clat.Percentiles["99.000000"] {
			t.Errorf("%d samples with p99 %d, want %d with %d", last, p99, j.Read.Clat.N, j.Read.Clat.Percentiles["99.000000"])
		}
	})
	t.Run("fio-histo-log-pctiles.py", func(t *testing.T) {
		out := testlab.Output(t, dir, "python3", testlab.FioScript(t, "fio-histo-log-pctiles.py"), "--log-hist-msec", "500", p+"_clat_hist.1.log")
		var samples int64
		most := 0.0
		for line := range strings.Lines(out) {
			f := strings.Split(strings.ReplaceAll(strings.TrimSpace(line), " ", ""), ",")
			if n, err := strconv.ParseInt(f[min(1, len(f)-1)], 10, 64); err == nil && len(f) >= 7 {
				samples += n
				us, _ := strconv.ParseFloat(f[6], 64)
				most = max(most, us*1000)
			}
		}
		// It leaves out what ended after the last whole second.
		if max := float64(j.Read.Clat.Max); samples > j.Read.Clat.N || samples < j.Read.Clat.N*99/100 || most > max*33/32 {
			t.Errorf("%d samples up to %.0f ns, want %d up to %.0f\n%s", samples, most, j.Read.Clat.N, max, out)
		}
	})
	t.Run("fiologparser.py", func(t *testing.T) {
		log, err := os.ReadFile(filepath.Join(dir, p+"_iops.1.log"))
		if err != nil {
			t.Fatal(err)
		}
		// It wants the four fields of old versions, and fails on what its own fio writes.
		four := regexp.MustCompile(`(?m), [^,]*$`).ReplaceAllString(string(log), "")
		if err := os.WriteFile(filepath.Join(dir, "four.log"), []byte(four), 0o600); err != nil {
			t.Fatal(err)
		}
		out := testlab.Output(t, dir, "python3", testlab.FioScript(t, "fiologparser.py"), "-i", "2000", "-a", "four.log")
		first, _, _ := strings.Cut(out, "\n")
		_, average, _ := strings.Cut(first, ", ")
		if got, err := strconv.ParseFloat(average, 64); err != nil || math.Abs(got-j.Read.IOPS) > j.Read.IOPS/20 {
			t.Errorf("%q, want an average of %.0f", first, j.Read.IOPS)
		}
	})
	t.Run("fio2gnuplot", func(t *testing.T) {
		testlab.Output(t, dir, "fio2gnuplot", "-i", "-g", "-k")
		testlab.Output(t, dir, "fio_generate_plots", "plots")
		for _, name := range []string{p + "_iops.1-2Draw.png", "result.average.png", "plots-iops.svg", "plots-bw.svg", "plots-lat.svg", "plots-clat.svg", "plots-slat.svg"} {
			if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Size() < 1000 {
				t.Errorf("%s was not drawn: %v", name, err)
			}
		}
	})
	t.Run("extraction lines", func(t *testing.T) { checkExtraction(t, string(text), &j) })
}

// checkConsistent checks what follows from each other in a direction.
func checkConsistent(t *testing.T, s *fioDirection) {
	t.Helper()
	var inBins int64
	for n := range maps.Values(s.Clat.Bins) {
		inBins += n
	}
	if s.IOs == 0 || inBins != s.Clat.N || s.Clat.N != s.Lat.N || s.BWBytes != s.Bytes*1000/s.Runtime || s.BW != s.BWBytes/1024 ||
		math.Abs(s.Slat.Mean+s.Clat.Mean-s.Lat.Mean) > 1 || math.Abs(s.IOPS*float64(s.Runtime)/1000-float64(s.IOs)) > 0.5 {
		t.Errorf("the figures contradict each other: %+v, %d in bins", s, inBins)
	}
}

// checkExtraction takes figures from terse and normal output as scripts do: YABS by the terse fields 7, 8, 48
// and 49; dbench by IOPS=, BW= and the avg= of the lat line.
func checkExtraction(t *testing.T, text string, j *fioJob) {
	terse := ""
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "3;fio-") {
			terse = line
		}
	}
	f := strings.Split(terse, ";")
	if len(f) < 49 || f[6] != strconv.FormatInt(j.Read.BW, 10) || f[7] != strconv.FormatInt(int64(j.Read.IOPS), 10) || f[47] != "0" || f[48] != "0" {
		t.Fatalf("terse: %q, want bw %d and %.0f IOPS", terse, j.Read.BW, j.Read.IOPS)
	}
	found := func(pattern string) string {
		m := regexp.MustCompile(pattern).FindString(text)
		if m == "" {
			t.Errorf("%s finds nothing in\n%s", pattern, text)
		}
		return m
	}
	iops := strings.TrimPrefix(found(`(?i)IOPS=[0-9k.]+`), "IOPS=")
	unit := 1.0
	if k, ok := strings.CutSuffix(iops, "k"); ok {
		iops, unit = k, 1000
	}
	if v, err := strconv.ParseFloat(iops, 64); err != nil || math.Abs(v*unit-j.Read.IOPS) > j.Read.IOPS/100 {
		t.Errorf("IOPS=%s, want %.0f", iops, j.Read.IOPS)
	}
	found(`BW=[0-9GMKiBs/.]+`)
	found(` lat.*avg=[0-9.]+`)
	found(`(?m)^ +READ: bw=[0-9.]+[KMG]iB/s`)
	found(`err= 0`)
}

// The job files that genfio writes run as they are, but for their ramp of 5 s and the word to write to a device.
func TestGenfiosJobFilesRun(t *testing.T) {
	testlab.Require(t, "genfio", "loop")
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 8 << 20, DirectIO: true, Tmpfs: true})
	dir := t.TempDir()
	testlab.Output(t, dir, "genfio", "-d", dev.Path, "-r", "1", "-b", "64k", "-m", "randwrite,randread", "-p", "-x", "gen")
	files, err := filepath.Glob(filepath.Join(dir, "*.fio"))
	if err != nil || len(files) != 1 {
		t.Fatalf("genfio wrote %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`ramp_time=5`).ReplaceAll(text, []byte("ramp_time=100ms"))
	if err := os.WriteFile(files[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, exit := asFio(t, dir, files[0], "--destroy="+dev.Name, "--output-format=json")
	if exit != 0 {
		t.Fatalf("exit code %d: %s", exit, stderr)
	}
	jobs := documentsIn(t, stdout)[0].Jobs
	if len(jobs) != 2 || jobs[0].Write.IOs == 0 || jobs[1].Read.Bytes/max(jobs[1].Read.IOs, 1) != 64<<10 {
		t.Errorf("%+v", jobs)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*_iops.?.log"))
	if err != nil || len(logs) != 2 {
		t.Errorf("logs %v, %v", logs, err)
	}
}

// token is a key of a JSON document with its place, or a value's type: what must be the same in fio's JSON.
type token struct{ place, kind string }

// shape lists the keys and types of a document in order. The keys of bins, which depend on the figures, and
// what differs by decision are left out.
func shape(t *testing.T, text string) []token {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var out []token
	var walk func(place string)
	walk = func(place string) {
		v, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		kind := "string"
		switch v := v.(type) {
		case json.Number:
			kind = "integer"
			if strings.Contains(string(v), ".") {
				kind = "float"
			}
		case json.Delim:
			kind = v.String()
		}
		out = append(out, token{place, kind})
		for (kind == "{" || kind == "[") && dec.More() {
			key := "[]"
			if kind == "{" {
				k, err := dec.Token()
				if err != nil {
					t.Fatal(err)
				}
				key = k.(string)
			}
			walk(place + "/" + key)
		}
		if kind == "{" || kind == "[" {
			if _, err := dec.Token(); err != nil {
				t.Fatal(err)
			}
		}
	}
	walk("")
	// What fio has gained since Debian's 3.33; docs/fio-output.md lists them.
	newer := regexp.MustCompile(`/(job_start|latency_target_ns|latency_window_us|read_sectors|write_sectors)$|/bins/`)
	return slices.DeleteFunc(out, func(k token) bool { return newer.MatchString(k.place) })
}

// On the same job, our JSON has the keys of Debian's fio, in its order, with values of the same types. Flags
// have values here, since only newer versions echo bare ones.
func TestKeysAreFios(t *testing.T) {
	testlab.Require(t, "fio", "loop")
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 8 << 20, DirectIO: true, Tmpfs: true})
	for name, args := range map[string][]string{
		"reads and writes": {"--name=a", "--rw=randrw", "--iodepth=4", "--ioengine=libaio", "--fsync=32", "--description=two\"words"},
		"global and group": {"--lat_percentiles=1", "--name=a", "--rw=write", "--numjobs=2", "--group_reporting=1", "--name=b", "--rw=read", "--stonewall=1"},
		"mixed":            {"--name=a", "--rw=randrw", "--unified_rw_reporting=mixed", "--continue_on_error=all"},
		"both":             {"--name=a", "--rw=randrw", "--unified_rw_reporting=both", "--slat_percentiles=1", "--ioengine=libaio"},
		"verify":           {"--name=a", "--rw=write", "--iodepth=4", "--ioengine=libaio", "--verify=crc32c", "--verify_state_save=0"},
		"reduced":          {"--name=a", "--rw=randread", "--gtod_reduce=1", "--disk_util=0"},
		"percentiles":      {"--name=a", "--rw=read", "--percentile_list=50:99.99", "--disable_slat=1", "--disable_lat=1", "--ioengine=libaio"},
		"idle":             {"--idle-prof=percpu", "--name=a", "--rw=randread", "--runtime=200ms", "--time_based=1"},
	} {
		t.Run(name, func(t *testing.T) {
			full := []string{"--output-format=json+"}
			for _, arg := range args {
				full = append(full, arg)
				if strings.HasPrefix(arg, "--name=") {
					full = append(full, "--filename="+dev.Path, "--size=1m", "--bs=4k", "--direct=1", "--thread=1")
				}
			}
			theirs := testlab.Output(t, t.TempDir(), "fio", append(full, "--eta=never")...)
			stdout, stderr, exit := asFio(t, t.TempDir(), destroying(full, dev.Name)...)
			if exit != 0 {
				t.Fatalf("exit code %d: %s", exit, stderr)
			}
			notEchoed := func(k token) bool { return strings.HasSuffix(k.place, " options/destroy") }
			got := slices.DeleteFunc(shape(t, stdout), notEchoed)
			if diff := cmp.Diff(shape(t, jsonOf(t, theirs)), got, cmp.AllowUnexported(token{})); diff != "" {
				t.Errorf("-fio +blkmeter\n%s", diff)
			}
		})
	}
}

// destroying adds the word that jobs need to write to a device.
func destroying(args []string, name string) []string {
	var out []string
	for _, arg := range args {
		out = append(out, arg)
		if strings.HasPrefix(arg, "--filename=") {
			out = append(out, "--destroy="+name)
		}
	}
	return out
}

// --status-interval and SIGUSR1 give one whole document after another, on stdout and in a file, in every
// format; the last one is the end.
func TestDocumentsWhileRunning(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--name=a", "--ioengine=null", "--size=1g", "--rw=read", "--time_based", "--numjobs=2", "--group_reporting"}
	check := func(text string, least int) {
		t.Helper()
		docs := documentsIn(t, text)
		if len(docs) < least {
			t.Fatalf("%d documents, want %d", len(docs), least)
		}
		before := int64(-1)
		for i, d := range docs {
			r := d.Jobs[0].Read
			if len(d.Jobs) != 1 || r.IOs < before || (r.IOs > 0 && math.Abs(r.IOPS*float64(r.Runtime)/1000-float64(r.IOs)) > 0.5) {
				t.Errorf("document %d: %d jobs, %d I/Os after %d, %v IOPS", i, len(d.Jobs), r.IOs, before, r.IOPS)
			}
			before = r.IOs
		}
		if docs[0].Jobs[0].ETA == 0 || docs[len(docs)-1].Jobs[0].ETA != 0 {
			t.Errorf("eta is %d first, %d last", docs[0].Jobs[0].ETA, docs[len(docs)-1].Jobs[0].ETA)
		}
	}
	stdout, stderr, exit := asFio(t, dir, append(args, "--runtime=3s", "--status-interval=700ms", "--output-format=json")...)
	if exit != 0 {
		t.Fatalf("exit code %d: %s", exit, stderr)
	}
	check(stdout, 3)
	path := filepath.Join(dir, "F")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, append([]string{"fio", "--output=" + path, "--output-format=json", "--runtime=1h"}, args...)...)
	// Before its Go runtime has begun, a signal would end the process.
	begun := func() bool {
		tasks, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.Process.Pid), "task"))
		return err == nil && len(tasks) > 3
	}
	if !testlab.Eventually(30*time.Second, begun) {
		t.Fatalf("it did not start; stderr: %s", &p.stderr)
	}
	size := int64(3)
	for range 2 {
		if !testlab.Eventually(30*time.Second, func() bool {
			_ = p.Process.Signal(syscall.SIGUSR1)
			fi, err := os.Stat(path)
			grown := err == nil && fi.Size() > size
			if grown {
				size = fi.Size()
			}
			return grown
		}) {
			t.Fatalf("no document after SIGUSR1; stderr: %s", &p.stderr)
		}
	}
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if exit := p.end(t); exit != fioInterrupted || p.stdout.Len() != 0 {
		t.Errorf("exit code %d, stdout %q", exit, &p.stdout)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check(string(text), 3)
}

// A program named fio is blkmeter fio.
func TestCalledFio(t *testing.T) {
	for _, c := range []struct {
		args   []string
		exit   int
		stdout string
	}{
		{[]string{"--version"}, 0, `^fio-[0-9]+\.[0-9]+\n$`},
		{[]string{"--parse-only", "--name=a", "--size=1m", "-rw=randread"}, 0, `^$`},
		{[]string{"--showcmd", "--name=a", "--size=1m"}, 0, `^fio --name=a --size=1m\n$`},
		{[]string{"--cmdhelp=iodepth"}, 0, `iodepth`},
		{[]string{"--help"}, 0, `--output-format`},
		{nil, 1, `^$`},
		{[]string{"--nonsense"}, 1, `^$`},
		{[]string{"--name=a", "--ioengine=null", "--size=1m", "--output-format=json,text"}, 1, `^$`},
		{[]string{"--name=a", "--ioengine=null", "--size=1m", "--output-format=normal", "--append-terse"}, 0, `(?s)\n3;fio-.*\na: \(groupid=0`},
		{[]string{"--name=a", "--ioengine=null", "--size=1m", "--minimal", "--terse-version=4"}, 0, `^4;fio-.*\n$`},
	} {
		var stdout, stderr bytes.Buffer
		exit := execute(&app{args: append([]string{"/usr/local/bin/fio"}, c.args...), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, env: func(string) string { return "" }})
		if exit != c.exit || !regexp.MustCompile(c.stdout).MatchString(stdout.String()) {
			t.Errorf("fio %v: exit code %d, stdout %q, stderr %q", c.args, exit, &stdout, &stderr)
		}
		if c.exit != 0 && !strings.Contains(stderr.String(), "blkmeter: ") {
			t.Errorf("fio %v fails without a word: %s", c.args, &stderr)
		}
		if len(c.args) == 0 && !strings.Contains(stderr.String(), "--output-format") {
			t.Errorf("fio alone does not show its help: %s", &stderr)
		}
	}
}

// Whatever happens, stdout and the file of --output hold one valid document or nothing; the words go to
// stderr.
func TestNothingButDocuments(t *testing.T) {
	testlab.Require(t, "loop")
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 8 << 20, DirectIO: true})
	if err := os.Truncate(dev.Backing, 4<<20); err != nil { // reads behind it fail
		t.Fatal(err)
	}
	read := []string{"--name=a", "--filename=" + dev.Path, "--rw=read", "--bs=64k", "--direct=1", "--ioengine=psync"}
	for name, c := range map[string]struct {
		args  []string
		error int // in the document; -1: there is none
		exit  int
	}{
		"done":           {[]string{"--name=a", "--ioengine=null", "--size=1m"}, 0, 0},
		"EIO":            {read, int(syscall.EIO), 1},
		"tolerated EIO":  {append(read, "--continue_on_error=all"), int(syscall.EIO), 0},
		"refused":        {[]string{"--name=a", "--filename=" + dev.Path, "--rw=write", "--bs=4k"}, -1, 1},
		"bad option":     {[]string{"--name=a", "--no_such_option=1"}, -1, 1},
		"bad value":      {[]string{"--name=a", "--bs=many"}, -1, 1},
		"no target":      {[]string{"--name=a", "--filename=no/such/file", "--rw=read"}, -1, 1},
		"log that fails": {[]string{"--name=a", "--ioengine=null", "--size=1m", "--write_bw_log=no/such/dir/x"}, -1, 1},
		"output":         {[]string{"--name=a", "--ioengine=null", "--size=1m", "--time_based", "--runtime=1h", "--output=no/such/dir/x"}, -1, 1},
		"not steady":     {[]string{"--name=a", "--ioengine=null", "--size=1m", "--time_based", "--runtime=1", "--ss=iops:1%", "--ss_dur=9"}, 0, 0},
		"bandwidth log":  {[]string{"--bandwidth-log=no/such/dir/x", "--name=a", "--ioengine=null", "--size=1m"}, -1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			stdout, stderr, exit := asFio(t, dir, append([]string{"--output-format=json"}, c.args...)...)
			_, words, again := asFio(t, dir, append([]string{"--output-format=json", "--output=F"}, c.args...)...)
			file, err := os.ReadFile(filepath.Join(dir, "F"))
			if exit != c.exit || again != c.exit {
				t.Errorf("exit codes %d and %d, want %d; stderr: %s%s", exit, again, c.exit, stderr, words)
			}
			if c.exit != 0 && !strings.Contains(stderr, "blkmeter: ") {
				t.Errorf("stderr %q", stderr)
			}
			if c.error < 0 {
				if stdout != "" || !errors.Is(err, os.ErrNotExist) {
					t.Errorf("stdout %q, the file %q, %v", stdout, file, err)
				}
				return
			}
			for _, text := range []string{stdout, string(file)} {
				docs := documentsIn(t, text)
				if len(docs) != 1 || len(docs[0].Jobs) != 1 || docs[0].Jobs[0].Error != c.error {
					t.Errorf("want one job with error %d in\n%s", c.error, text)
				}
			}
		})
	}
}
