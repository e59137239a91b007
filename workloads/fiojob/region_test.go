package fiojob

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// The regions of one job of a kind with fio's: what fio reads is what Region says it works on.
func TestRegionAgainstFio(t *testing.T) {
	testlab.Require(t, "fio")
	const fileBytes = 1_000_000
	tests := []string{
		"bs=4k",
		"bs=4k size=300k",
		"bs=4k size=300001",
		"bs=4k size=30%",
		"bs=4k size=100%",
		"bs=4k offset=10%",
		"bs=4k offset=10% size=30%",
		"bs=4k offset=50% size=75%",
		"bs=4k offset=100k",
		"bs=4k offset=100k size=200k",
		"bs=4k offset=1000 size=200k",
		"bs=1k-8k offset=33%",
		"bs=64k offset=64k size=900000",
		"bs=64k size=50%",
		"bs=4k offset=33% offset_align=64k",
		"bs=4k offset=33k offset_align=64k",
		"bs=512 offset=7% size=11%",
		"bs=3000 size=10%",
		"bs=4k filesize=500k",
		"bs=4k filesize=500k offset=100k",
		"bs=4k filesize=2k-2m",
		"bs=4k filesize=500k offset=10%",
		"bs=4k rw=randread size=50%",
		"bs=4k size=400k nrfiles=1 offset_increment=50k",
		"bs=8k size=208k filename=f:g",
		"bs=4k rw=randread size=300001",
		"bs=4k size=50% filename=f:g",
		"bs=4k filename=f:g",
	}
	dir := t.TempDir()
	for _, name := range []string{"f", "g"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, fileBytes), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	iolog := func(i int) string { return filepath.Join(dir, fmt.Sprint("log", i)) }
	var args, fioArgs []string // one fio for all, since each takes most of a second to start and end
	for i, tt := range tests {
		job := []string{fmt.Sprintf("--name=job%d", i), "--rw=read"}
		if !strings.Contains(tt, "filename=") {
			job = append(job, "--filename=f")
		}
		for o := range strings.FieldsSeq(tt) {
			job = append(job, "--"+o)
		}
		args = append(args, job...)
		fioArgs = append(append(fioArgs, job...), "--write_iolog="+iolog(i))
	}
	testlab.Output(t, dir, "fio", fioArgs...)
	plan, _ := parse(t, ParseOptions{Fio: true}, args...)
	for i := range plan.Jobs {
		job := &plan.Jobs[i]
		for _, name := range job.Paths(0) {
			low, high, err := workloads.Region(job, 0, fileBytes)
			fioLow, fioHigh := extentOf(t, iolog(i), name)
			if err != nil || low != fioLow || high != fioHigh {
				t.Errorf("%s: %s is [%d, %d), %v; fio reads [%d, %d)", tests[i], name, low, high, err, fioLow, fioHigh)
			}
		}
	}
}

// extentOf returns the bytes of a file that an I/O log covers.
func extentOf(t *testing.T, iolog, name string) (low, high int64) {
	t.Helper()
	text, err := os.ReadFile(iolog)
	if err != nil {
		t.Fatal(err)
	}
	low = 1 << 62
	for line := range strings.Lines(string(text)) {
		var at, offset, length int64
		var file, action string
		if n, _ := fmt.Sscan(line, &at, &file, &action, &offset, &length); n == 5 && file == name && action == "read" {
			low, high = min(low, offset), max(high, offset+length)
		}
	}
	return low, high
}
