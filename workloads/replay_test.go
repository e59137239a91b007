package workloads

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func logFile(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "io.log")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestKindOfAReplay(t *testing.T) {
	for mask := range 8 {
		does := [Directions]bool{mask&1 != 0, mask&2 != 0, mask&4 != 0}
		rw := RWReplay(does)
		for d := range Direction(Directions) {
			if rw.Does(d) != does[d] {
				t.Errorf("%v: %s is %v", does, d, rw.Does(d))
			}
		}
		if rw.String() != "replay" || rw.Random() || rw.Destructive() != (does[Write] || does[Trim]) {
			t.Errorf("%v: %s, random %v, destructive %v", does, rw, rw.Random(), rw.Destructive())
		}
	}
	if _, ok := ParseRW("replay"); ok {
		t.Error("rw=replay is understood, and there is no such option")
	}
}

func TestForecastOfAReplay(t *testing.T) {
	log := logFile(t, "fio version 3 iolog", "0 /x add", "0 /x open", "0 /y add", "0 /y open",
		"100 /x read 4096 8192", "200000 /y write 0 4096", "300000 /x trim 65536 1048576", "400000 /x sync 0 0", "500000 /y close")
	j := DefaultJob()
	j.Name, j.Replay.Logs, j.NumJobs, j.IODepth, j.Loops = "again", []string{log}, 2, 4, 3
	f, err := (&Plan{Jobs: []Job{j}}).Forecast(func(string) int64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	got := &f.Jobs[0]
	if diff := cmp.Diff(Replayed{Clone: 1, Log: log, Reads: 1, Writes: 1, Trims: 1, Syncs: 1, DurationNS: 400e6}, got.Replay[1]); diff != "" {
		t.Error(diff)
	}
	if got.RW != "replay" || got.ReadBytes != 6*8192 || got.WriteBytes != 6*4096 || got.TrimBytes != 6<<20 || got.MemoryBytes != 2*4*8192 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]Extent{{0, "/x", 4096, 65536 + 1<<20}, {0, "/y", 0, 4096}, {1, "/x", 4096, 65536 + 1<<20}, {1, "/y", 0, 4096}}, got.Regions); diff != "" {
		t.Error(diff)
	}
	if !f.DurationKnown || f.DurationNS != 1200e6 || !f.AmountBounded || len(f.Overlaps) != 2 {
		t.Errorf("%+v", f)
	}

	j.Runtime = time.Second // shorter than the replay
	if f, err := (&Plan{Jobs: []Job{j}}).Forecast(func(string) int64 { return 0 }); err != nil || f.DurationNS != 1e9 {
		t.Errorf("%+v, %v", f, err)
	}
	j.TimeBased, j.Replay.NoStall = true, true
	if f, err := (&Plan{Jobs: []Job{j}}).Forecast(func(string) int64 { return 0 }); err != nil || f.AmountBounded || f.Jobs[0].WriteBytes != -1 || f.DurationNS != 1e9 {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := (&Plan{Jobs: []Job{j}}).Forecast(func(string) int64 { return 65536 }); err == nil || !strings.Contains(err.Error(), log+":8: a trim of 1048576 bytes") {
		t.Errorf("a trim beyond the target's end: %v", err)
	}
}

func TestWarningsAboutLogs(t *testing.T) {
	waits := logFile(t, "fio version 2 iolog", "/x add", "/x open", "/x wait 5 0", "/x read 0 512")
	j := DefaultJob()
	j.Name, j.Replay.Logs = "x", []string{waits, "unread", "unread as well"}
	f, err := (&Plan{Jobs: []Job{j}}).Forecast(func(string) int64 { return 0 })
	if err != nil || len(f.Warnings) != 2 || f.Warnings[0].Code != "IOLOG_WAITS" || f.Warnings[1].Code != "IOLOG_UNUSED" || f.Warnings[1].Hint != "give numjobs=3" {
		t.Errorf("%+v, %v", f, err)
	}
}
