package workloads

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPaths(t *testing.T) {
	tests := []struct {
		name  string
		job   func(*Job)
		clone int
		want  []string
	}{
		{"generated", func(j *Job) { j.NrFiles = 2 }, 3, []string{"test.3.0", "test.3.1"}},
		{"a format", func(j *Job) { j.FilenameFormat = "x/$filenum-$jobname" }, 1, []string{"x/0-test"}},
		{"clones share directories", func(j *Job) { j.Directories = []string{"/a", "/b"} }, 3, []string{"/b/test.3.0"}},
		{"filename in a directory", func(j *Job) { j.Filenames, j.NrFiles, j.Directories = []string{"f", "/g"}, 2, []string{"/a", "/b"} }, 1, []string{"/a/f", "/g"}},
		{"fewer files than names", func(j *Job) { j.Filenames, j.NrFiles = []string{"f", "g", "h"}, 2 }, 0, []string{"f", "g"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, jobWith(tt.job).Paths(tt.clone)); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
	}
}

func TestForecast(t *testing.T) {
	write := jobWith(func(j *Job) {
		j.Name, j.RW, j.Filenames, j.NumJobs, j.Size, j.IODepth, j.Loops = "w", RWWrite, []string{"/t"}, 2, bytesOf(4*mib), 8, 3
	})
	mixed := jobWith(func(j *Job) {
		j.Name, j.RW, j.Filenames, j.MixReadPercent, j.IOSize, j.Offset = "m", RWRandRW, []string{"/t"}, 75, bytesOf(mib), bytesOf(2*mib)
	})
	timed := jobWith(func(j *Job) {
		j.Name, j.RW, j.Filenames, j.Stonewall, j.TimeBased, j.Runtime, j.RampTime = "t", RWTrim, []string{"/t"}, true, true, 10*time.Second, time.Second
	})
	counted := jobWith(func(j *Job) {
		j.Name, j.RW, j.Filenames, j.NumberIOs, j.TimeBased, j.Runtime = "c", RWTrimWrite, []string{"/u"}, 10, true, 5*time.Second
	})
	plan := Plan{Jobs: []Job{*write, *mixed, *timed, *counted}}
	f, err := plan.Forecast(func(string) int64 { return 16 * mib })
	if err != nil {
		t.Fatal(err)
	}
	type amounts struct{ Stage, Clones, Read, Write, Trim, Memory int64 }
	var got []amounts
	for _, j := range f.Jobs {
		got = append(got, amounts{int64(j.Stage), int64(j.Clones), j.ReadBytes, j.WriteBytes, j.TrimBytes, j.MemoryBytes})
	}
	want := []amounts{
		{0, 2, 0, 24 * mib, 0, 65536},
		{0, 1, 768 << 10, 256 << 10, 0, 4096},
		{1, 1, 0, 0, -1, 4096},
		{1, 1, 0, 40960, 40960, 4096},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if f.Workers != 5 || f.MostWorkers != 3 || f.MemoryBytes != 65536+4096 || f.WriteBytes != 24*mib+256<<10+40960 || f.TrimBytes != 40960 ||
		f.AmountBounded || f.DurationKnown || time.Duration(f.DurationNS) != 11*time.Second {
		t.Errorf("got %+v", f)
	}
	overlap := []Overlap{{Path: "/t", Low: 0, High: 4 * mib, Jobs: []string{"w", "m"}, Workers: 3, Writes: true}}
	if diff := cmp.Diff(overlap, f.Overlaps); diff != "" {
		t.Error(diff)
	}

	// A target that is not there has the size that the job will give it, or none.
	missing := func(string) int64 { return 0 }
	known := Plan{Jobs: []Job{*jobWith(func(j *Job) { j.Size, j.NumJobs, j.OffsetIncrement = bytesOf(mib), 3, bytesOf(mib) })}}
	if f, err := known.Forecast(missing); err != nil || f.Jobs[0].ReadBytes != 3*mib || f.Jobs[0].Regions[2].Low != 2*mib {
		t.Errorf("%+v, %v", f, err)
	}
	unknown := Plan{Jobs: []Job{*jobWith(func(*Job) {})}}
	if f, err := unknown.Forecast(missing); err != nil || f.Jobs[0].ReadBytes != -1 || f.Jobs[0].Uncertainty == "" {
		t.Errorf("%+v, %v", f, err)
	}
	beyond := Plan{Jobs: []Job{*jobWith(func(j *Job) { j.Offset = bytesOf(32 * mib) })}}
	if _, err := beyond.Forecast(func(string) int64 { return mib }); err == nil {
		t.Error("an offset beyond the end is no error")
	}
}

// Overlaps are exactly the places with more than one claim.
func TestOverlapsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var claims []claim
		var cover [40]int
		for range rapid.IntRange(0, 8).Draw(t, "claims") {
			low := rapid.Int64Range(0, 38).Draw(t, "low")
			high := rapid.Int64Range(low+1, 40).Draw(t, "high")
			claims = append(claims, claim{low, high, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "job"), rapid.Bool().Draw(t, "writes")})
			for i := low; i < high; i++ {
				cover[i]++
			}
		}
		found := overlaps("/t", slices.Clone(claims))
		for i, n := range cover {
			in := 0
			for _, o := range found {
				if int64(i) >= o.Low && int64(i) < o.High {
					in++
					if n > o.Workers {
						t.Fatalf("%d claims at %d, more than in %+v", n, i, o)
					}
				}
			}
			if in > 1 || (in == 1) != (n > 1) {
				t.Fatalf("%d claims at %d, which is in %d of %+v", n, i, in, found)
			}
		}
		for _, o := range found {
			jobs, writes := map[string]bool{}, false
			for _, c := range claims {
				if c.low < o.High && c.high > o.Low {
					jobs[c.job] = true
					writes = writes || c.writes
				}
			}
			if len(jobs) != len(o.Jobs) || writes != o.Writes {
				t.Fatalf("%+v, but jobs %v, writes %v", o, jobs, writes)
			}
		}
	})
}

// A plan tells when writes are not what rw=write makes one expect.
func TestForecastOfNVMeCommands(t *testing.T) {
	for want, n := range map[string]NVMe{
		"": {Write: "write"},
		"writes are NVMe's Write Zeroes, without data; writes have FUA: they go to the medium": {Write: "zeroes", FUA: [2]bool{false, true}},
		"writes are NVMe's Verify, which writes nothing":                                       {Write: "verify"},
	} {
		j := DefaultJob()
		j.Name, j.Filenames, j.RW, j.NVMe = "a", []string{"/dev/ng0n1"}, RWWrite, n
		f, err := (&Plan{Jobs: []Job{j}}).Forecast(func(string) int64 { return 1 << 20 })
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(f.Jobs[0].Control, "|"); got != want {
			t.Errorf("%+v: %q, want %q", n, got, want)
		}
	}
}
