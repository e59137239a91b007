package fiojob

import (
	"errors"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// sound checks what must hold of any plan or error that comes of reading whatever.
func sound(t *testing.T, plan *workloads.Plan, err error) {
	t.Helper()
	if err != nil {
		var e *fault.Error
		if !errors.As(err, &e) || e.Exit != fault.ExitUsage || e.Code == "" || e.Sentence == "" {
			t.Fatalf("the error is %#v", err)
		}
		return
	}
	clones := 0
	for i := range plan.Jobs {
		j := &plan.Jobs[i]
		clones += j.NumJobs
		if j.NumJobs < 1 || j.IODepth < 1 || j.Loops < 1 || j.NrFiles < 1 || j.RWRun < 1 || j.Runtime < 0 {
			t.Fatalf("job %+v", j)
		}
		for d := range j.BS {
			share := 0.0
			for _, s := range j.BSSplit[d] {
				share += s.Percent
			}
			if j.BS[d].Min < 1 || j.BS[d].Max < j.BS[d].Min || (share != 0 && (share < 99.9 || share > 100.1)) {
				t.Fatalf("block sizes %v, %v", j.BS[d], j.BSSplit[d])
			}
		}
	}
	if clones > MaxJobs {
		t.Fatalf("%d clones", clones)
	}
	forecast, err := plan.Forecast(func(string) int64 { return 1 << 30 })
	if err == nil && forecast.Workers != clones {
		t.Fatalf("%d workers for %d clones", forecast.Workers, clones)
	}
}

func FuzzJobFile(f *testing.F) {
	f.Add("[global]\nbs=4k\n[a]\nrw=randrw:8\nsize=50%\nbssplit=4k/60:64k\n")
	f.Add("[a]\ninclude x\nsize=2*$mb_memory\nfilename=${A}:b\\:c\n")
	f.Add("[a]\nstartdelay=5s-10s\nbs=1k-4k,,8k,\ncpus_allowed=0-3\nrandom_distribution=zoned:60/10:40/90\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			t.Skip("long texts are slow to little purpose")
		}
		opts := options(files{"x": text, "inc": "bs=8k\n"})
		opts.Env = func(name string) string { return strings.Repeat("1", min(len(name), 8)) }
		plan, _, err := ParseArgs([]string{"x"}, opts)
		sound(t, plan, err)
	})
}

func FuzzArgs(f *testing.F) {
	f.Add("--name=a\n--rw\nrandread\n-bs=4k\n--time_based\n--runtime=10s\n--size=1g")
	f.Add("--bs=4k\n--name=global\n--name\nx\n--\n-")
	f.Add("--output-format=json,normal\n--section=a\n--eta=never\n--max-jobs=3\n--showcmd\n--numjobs=3")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			t.Skip("long texts are slow to little purpose")
		}
		for _, fio := range []bool{false, true} {
			opts := options(files{"x": "[a]\nsize=1m\n"})
			opts.Fio = fio
			plan, _, err := ParseArgs(strings.Split(text, "\n"), opts)
			sound(t, plan, err)
		}
	})
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"2*(4k+1)", "-8/3", "2^10^1", "(((1", "9223372036854775807+1", "7%-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := evaluate(s)
		if err == nil && len(s) < 1000 {
			if w, err := evaluate("(" + s + ")*1"); err != nil || w != v {
				t.Errorf("%q is %d, and in parentheses %d, %v", s, v, w, err)
			}
		}
	})
}
