package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/perf"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
)

// countIssued counts the requests that the kernel gives a disk's driver with a priority, until the returned
// function is called.
func countIssued(t *testing.T, dev uint32, prio workloads.Priority) func() int64 {
	t.Helper()
	tracing, err := perf.OpenTracing("")
	var none *perf.Unavailable
	if errors.As(err, &none) {
		t.Skipf("requests cannot be counted: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracing.Close() })
	event, err := tracing.Event("block", "block_rq_issue")
	if err != nil {
		t.Skipf("requests cannot be counted: %v", err)
	}
	var counters []*perf.Counter
	for cpu := range runtime.NumCPU() {
		c, err := perf.Open(event, cpu, fmt.Sprintf("dev == %d && ioprio == %d", dev, prio))
		if err != nil {
			t.Skipf("requests cannot be counted by priority (Linux 6.13): %v", err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.Enable(); err != nil {
			t.Fatal(err)
		}
		counters = append(counters, c)
	}
	return func() (sum int64) {
		for _, c := range counters {
			n, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			sum += int64(n)
		}
		return sum
	}
}

// The shares that were asked for have the priority that was asked for, in the kernel's own count, in the
// Result and in the log.
func TestSingleIOsHaveAPriorityOfTheirOwn(t *testing.T) {
	testlab.Require(t, "root")
	idle, rt, own := workloads.NewPriority(workloads.ClassIdle, 7, 0), workloads.NewPriority(workloads.ClassRealTime, 3, 0), workloads.NewPriority(workloads.ClassBestEffort, 2, 0)
	for _, engine := range asyncEngines {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			const loopMajor = 7
			id := uint32(loopMajor<<20 | dev.Number) // as tracepoints number devices
			counted := map[workloads.Priority]func() int64{own: countIssued(t, id, own), idle: countIssued(t, id, idle), rt: countIssued(t, id, rt)}
			j := job(dev.Path, engine, workloads.RWRandRW)
			j.NumJobs, j.MixReadPercent = 2, 60
			j.PrioClass, j.Prio = own.Class(), own.Level()
			j.CmdPrio = [2][]workloads.PriorityShare{
				workloads.Read:  {{Percent: 20, Priority: idle}},
				workloads.Write: {{Bytes: 4096, Percent: 30, Priority: rt}, {Bytes: 4096, Percent: 50, Priority: idle}, {Bytes: 8192, Percent: 100, Priority: rt}},
			}
			dir := t.TempDir()
			j.Logs = logsOf(filepath.Join(dir, "x"))
			j.Logs.Prio = true
			r := do(t, j)
			out := r.Jobs[0]
			total := map[workloads.Priority]int64{}
			for d, shares := range []map[workloads.Priority]float64{{own: 0.8, idle: 0.2}, {own: 0.2, rt: 0.3, idle: 0.5}} {
				s := out.Dir(workloads.Direction(d))
				if len(s.Priorities) != len(shares) {
					t.Errorf("%s: priorities %+v", workloads.Direction(d), s.Priorities)
				}
				ios := int64(0)
				for _, p := range s.Priorities {
					prio := workloads.NewPriority(p.Class, p.Level, p.Hint)
					got, want := float64(p.IOs)/float64(s.IOs), shares[prio]
					if math.Abs(got-want) > 5*math.Sqrt(want*(1-want)/float64(s.IOs)) {
						t.Errorf("%s: %.1f %% are %s, want %.0f %%", workloads.Direction(d), 100*got, prio, 100*want)
					}
					if p.Clat.N != p.IOs || p.Lat.N != p.IOs || p.Lat.MeanNS < p.Clat.MeanNS {
						t.Errorf("%s %s: %d I/Os, clat %+v, lat %+v", workloads.Direction(d), prio, p.IOs, p.Clat, p.Lat)
					}
					ios += p.IOs
					total[prio] += p.IOs
				}
				if ios != s.IOs {
					t.Errorf("%s: %d I/Os by priority, %d in all", workloads.Direction(d), ios, s.IOs)
				}
			}
			missing := r.Targets[0].Kernel.ReadMerges + r.Targets[0].Kernel.WriteMerges // neighbours that became one request
			for prio, count := range counted {
				n := count()
				if n > total[prio] {
					t.Errorf("the kernel issued %d requests of %s, the Result has %d", n, prio, total[prio])
				}
				missing -= total[prio] - n
			}
			if missing != 0 {
				t.Errorf("%d requests that the kernel issued had another priority than the Result says", -missing)
			}
			logged := map[workloads.Priority]int64{}
			for worker := range 2 {
				text, err := os.ReadFile(filepath.Join(dir, "x_clat."+strconv.Itoa(worker+1)+".log"))
				if err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(string(text)) {
					n, err := strconv.ParseUint(strings.TrimSpace(line[strings.LastIndex(line, "0x")+2:]), 16, 16)
					if err != nil {
						t.Fatalf("%q: %v", line, err)
					}
					logged[workloads.Priority(n)]++
				}
			}
			for prio, n := range total {
				if logged[prio] != n {
					t.Errorf("%d lines of %s in the logs, the Result has %d I/Os", logged[prio], prio, n)
				}
			}
		})
	}
}

func TestEnginesWithoutPrioritiesAreRefused(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes})
	j := job(dev.Path, "psync", workloads.RWRandRead)
	j.CmdPrio[workloads.Read] = []workloads.PriorityShare{{Percent: 20, Priority: workloads.NewPriority(workloads.ClassIdle, 0, 0)}}
	_, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv})
	if f := fault.Of(err); err == nil || f.Code != "CMDPRIO" || f.Exit != fault.ExitUsage {
		t.Errorf("the error is %v", err)
	}
}

// A priority that the kernel refuses is refused before the run, not with its first I/O.
func TestAPriorityThatTheKernelRefusesEndsTheRunBeforeIt(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes})
	j := job(dev.Path, "io_uring", workloads.RWRandRead)
	j.CmdPrio[workloads.Read] = []workloads.PriorityShare{{Percent: 20, Priority: workloads.NewPriority(7, 0, 0)}}
	r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	if r.Error == nil || r.Error.Code != "PRIORITY" || r.ExitCode != fault.ExitEnvironment || r.Jobs[0].Read != nil {
		t.Errorf("the run ended with %+v", r.Error)
	}
}

// fio and blkmeter list the same priorities in the same order, under the same names, with shares that agree.
func TestPrioritiesAreListedAsFioDoes(t *testing.T) {
	testlab.Require(t, "fio", "root") // the class that fio takes by default is real time
	type latency struct{ N int64 }
	type prio struct {
		Class int      `json:"prioclass"`
		Level int      `json:"prio"`
		Clat  *latency `json:"clat_ns"`
		Lat   *latency `json:"lat_ns"`
	}
	type direction struct {
		IOs   int64  `json:"total_ios"`
		Prios []prio `json:"prios"`
	}
	type document struct {
		Jobs []struct{ Read, Write direction }
	}
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{
		"cmdprio_percentage=30", "cmdprio_percentage=100", "cmdprio_percentage=0,40 cmdprio_class=2 cmdprio=5 lat_percentiles=1",
		"cmdprio_bssplit=4k/10/1/3:4k/20/2/5,4k/50 prioclass=2 prio=2", "cmdprio_percentage=30 disable_clat=1",
	} {
		t.Run(options, func(t *testing.T) {
			args := []string{"--name=a", "--filename=" + path, "--rw=randrw", "--bs=4k", "--direct=1", "--ioengine=libaio", "--iodepth=8", "--norandommap", "--size=16m"}
			for o := range strings.FieldsSeq(options) {
				args = append(args, "--"+o)
			}
			var theirs, ours document
			out := testlab.Output(t, "", "fio", append(args, "--output-format=json")...)
			if err := json.Unmarshal([]byte(out[strings.IndexByte(out, '{'):]), &theirs); err != nil {
				t.Fatal(err)
			}
			plan, _, err := fiojob.ParseArgs(args, fiojob.ParseOptions{Fio: true})
			if err != nil {
				t.Fatal(err)
			}
			r, err := Run(t.Context(), plan, Options{Env: os.Getenv, Overwrite: true})
			if err != nil || r.Error != nil {
				t.Fatal(err, r.Error)
			}
			var text bytes.Buffer
			if err := fio.Write(&text, r, fio.JSON, fio.OptionsOf(r)); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text.Bytes(), &ours); err != nil {
				t.Fatal(err)
			}
			for name, d := range map[string][2]direction{
				"read": {theirs.Jobs[0].Read, ours.Jobs[0].Read}, "write": {theirs.Jobs[0].Write, ours.Jobs[0].Write},
			} {
				want, got := d[0].Prios, d[1].Prios
				if len(got) != len(want) {
					t.Errorf("%s: %d priorities, fio has %d", name, len(got), len(want))
					continue
				}
				for i := range want {
					same := got[i].Class == want[i].Class && got[i].Level == want[i].Level && (got[i].Clat == nil) == (want[i].Clat == nil)
					if !same {
						t.Errorf("%s: %+v, fio has %+v", name, got[i], want[i])
						continue
					}
					shares := [2]float64{}
					for k, p := range []prio{want[i], got[i]} {
						l := p.Clat
						if l == nil {
							l = p.Lat
						}
						shares[k] = float64(l.N) / float64(d[k].IOs)
					}
					if math.Abs(shares[0]-shares[1]) > 0.1 {
						t.Errorf("%s: priority %d/%d has a share of %.2f, fio's of %.2f", name, got[i].Class, got[i].Level, shares[1], shares[0])
					}
				}
			}
		})
	}
}
