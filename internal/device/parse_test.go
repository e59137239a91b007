package device

import (
	"encoding/binary"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseCPUList(t *testing.T) {
	for in, want := range map[string][]int{
		"": nil, "\n": nil, "0": {0}, "0-3": {0, 1, 2, 3}, "0, 1, 2\n": {0, 1, 2}, "7,0-1": {0, 1, 7}, "3,3,2-3": {2, 3},
	} {
		if got, err := ParseCPUList(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"x", "1-", "-1", "3-1", "0-99999999", "1-2-3", strings.Repeat("0-65535,", 5)} {
		if got, err := ParseCPUList(in); err == nil {
			t.Errorf("%q = %d CPUs, want an error", in, len(got))
		}
	}
}

func TestCPUListIsReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cpus := rapid.SliceOfNDistinct(rapid.IntRange(0, 300), 0, 64, rapid.ID).Draw(t, "cpus")
		slices.Sort(cpus)
		got, err := ParseCPUList(FormatCPUList(cpus))
		if err != nil || !slices.Equal(got, cpus) {
			t.Fatalf("%v written as %q became %v, %v", cpus, FormatCPUList(cpus), got, err)
		}
	})
}

func TestCompareNames(t *testing.T) {
	sorted := []string{"", "dm-2", "dm-10", "nvme0n1", "nvme0n1p1", "nvme0n1p2", "nvme0n10", "nvme2n1", "nvme10n1", "sda", "sda1", "sdaa"}
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.Permutation(sorted).Draw(t, "names")
		slices.SortFunc(names, CompareNames)
		if !slices.Equal(names, sorted) {
			t.Fatalf("sorted %v", names)
		}
	})
}

func TestParseCounters(t *testing.T) {
	got, err := ParseCounters("   1 2 3 4   5 6 7 8 9 10 11 12 13 14 15 16 17\n")
	want := Counters{1, 2, 3 * 512, 4, 5, 6, 7 * 512, 8, 9, 10, 11, 12, 13, 14 * 512, 15, 16, 17}
	if err != nil || got != want {
		t.Errorf("counters = %+v, %v; want %+v", got, err, want)
	}
	if got, err := ParseCounters("1 2 3 4 5 6 7 8 9 10 11"); err != nil || got.InQueueMS != 11 || got.FlushIOs != 0 {
		t.Errorf("an old kernel's counters = %+v, %v", got, err)
	}
	for _, bad := range []string{"", "1 2 3", "1 2 3 4 5 6 7 8 9 10 x"} {
		if got, err := ParseCounters(bad); err == nil {
			t.Errorf("%q = %+v, want an error", bad, got)
		}
	}
}

// TestCountersSince sets every field to another value, so that none can be left out or swapped.
func TestCountersSince(t *testing.T) {
	var before, after Counters
	b, a := reflect.ValueOf(&before).Elem(), reflect.ValueOf(&after).Elem()
	for i := range b.NumField() {
		b.Field(i).SetInt(int64(i))
		a.Field(i).SetInt(int64(100*i + i))
	}
	d := reflect.ValueOf(after.Since(before))
	for i := range d.NumField() {
		want := int64(100 * i)
		if d.Type().Field(i).Name == "InFlight" {
			want += int64(i)
		}
		if got := d.Field(i).Int(); got != want {
			t.Errorf("%s = %d, want %d", d.Type().Field(i).Name, got, want)
		}
	}
}

func TestReadCounters(t *testing.T) {
	root := fixture(t, "nvme")
	disk, err := ReadCounters(root, blk.DevT{Major: 259, Minor: 1})
	if err != nil {
		t.Fatal(err)
	}
	part, err := ReadCounters(root, blk.DevT{Major: 259, Minor: 2})
	if err != nil {
		t.Fatal(err)
	}
	if part.WriteIOs == 0 || disk.WriteIOs < part.WriteIOs {
		t.Errorf("disk %+v, its partition %+v", disk, part)
	}
	if c, err := ReadCounters(root, blk.DevT{Major: 1, Minor: 1}); err == nil {
		t.Errorf("a device that is not there counted %+v", c)
	}
}

func TestParseSwaps(t *testing.T) {
	got := parseSwaps("Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1 0 -2\n/a\\040b\\134c file 1 0 -3\n/gone\\040(deleted) file 1 0 -4\n\n")
	want := []Swap{{"/dev/sda2", false}, {`/a b\c`, true}, {"/gone", true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneBadMountHidesNoOther(t *testing.T) {
	got := parseMounts("garbage\n\n1 1 8:1 / /a rw - ext4 /dev/sda1 rw\n2 1 8\n3 1 8:2 / /b\\040c rw - xfs /dev/sda2 rw\n")
	if len(got) != 2 || got[0].Minor != 1 || got[1].Mountpoint != "/b c" {
		t.Errorf("mounts = %+v", got)
	}
}

func TestMayWrite(t *testing.T) {
	for in, want := range map[string]bool{
		"pos:\t0\nflags:\t0100002\nmnt_id:\t9": true, "flags:\t01": true, "flags:\t0100000\n": false, "": false, "flags:\tx": false,
	} {
		if got := mayWrite(in); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestAncestors(t *testing.T) {
	line := ancestors("", os.Getpid())
	if !line[os.Getpid()] || !line[os.Getppid()] || line[os.Getppid()+1<<22] {
		t.Errorf("ancestors of %d = %v", os.Getpid(), line)
	}
}

func TestParseScheduler(t *testing.T) {
	for in, want := range map[string]string{
		"[none] mq-deadline kyber": "none", "none [mq-deadline]": "mq-deadline", "none": "none", "": "", "a b": "",
	} {
		if got, all := parseScheduler(in); got != want || len(all) != len(strings.Fields(in)) {
			t.Errorf("%q: %q of %v, want %q", in, got, all, want)
		}
	}
}

func TestInterrupts(t *testing.T) {
	root := fixture(t, "nvme")
	all := Interrupts(root, "nvme0n1")
	if len(all) != 9 {
		t.Fatalf("%d interrupts, want those of nvme0q0..8: %+v", len(all), all)
	}
	third := all[3]
	want := Interrupt{Number: 29, Name: "nvme0q3", Allowed: []int{2}, Effective: []int{2}, PerCPU: third.PerCPU}
	if diff := cmp.Diff(want, third); diff != "" {
		t.Error(diff)
	}
	if third.Count() == 0 || third.Count() != third.PerCPU[2] {
		t.Errorf("counts = %v, want all on CPU 2", third.PerCPU)
	}
	if none := Interrupts(fixture(t, "mixed"), "loop0"); none != nil {
		t.Errorf("a loop device has interrupts: %+v", none)
	}
}

func TestSMART(t *testing.T) {
	page, identify := make([]byte, 512), make([]byte, 4096)
	page[0] = 0b1001
	put16 := binary.LittleEndian.PutUint16
	put32 := binary.LittleEndian.PutUint32
	put64 := binary.LittleEndian.PutUint64
	put16(page[1:], 273+41)
	page[3], page[4], page[5] = 99, 10, 120
	for i, at := range []int{32, 48, 64, 80, 96, 112, 128, 144, 160, 176} {
		put64(page[at:], uint64(i+1))
	}
	put64(page[160+8:], 1)
	put32(page[192:], 7)
	put32(page[196:], 8)
	put16(page[200:], 273+50)
	put16(page[204:], 273+60)
	for i := range uint32(4) {
		put32(page[216+4*i:], 20+i)
	}
	put16(identify[266:], 273+82)
	put16(identify[268:], 273+85)
	want := SMART{
		CriticalWarnings: []string{"spare blocks are below the threshold", "media are read-only"},
		TemperatureC:     41, WarningC: 82, CriticalC: 85, SensorsC: []int{50, 60},
		SparePercent: 99, SpareMinPercent: 10, UsedPercent: 120,
		ReadBytes: 512000, WrittenBytes: 2 * 512000, ReadCommands: 3, WriteCommands: 4, BusyMinutes: 5, PowerCycles: 6,
		PowerOnHours: 7, UnsafeShutdowns: 8, MediaErrors: 9 + 18446744073709551616, ErrorLogEntries: 10,
		WarningMinutes: 7, CriticalMinutes: 8, Throttle: [2]Throttle{{20, 22}, {21, 23}},
	}
	if diff := cmp.Diff(want, ParseSMART(page, identify)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(SMART{}, ParseSMART(nil, nil)); diff != "" {
		t.Error(diff)
	}
}

func TestPowerStates(t *testing.T) {
	identify := make([]byte, 4096)
	identify[263] = 1
	copy(identify[2048:], []byte{0x52, 0x03, 0, 0, 17, 0, 0, 0, 18, 0, 0, 0})
	copy(identify[2080:], []byte{0xf4, 0x01, 0, 3, 0, 1, 0, 0, 0, 2, 0, 0})
	want := []PowerState{{0, 8.5, true, 17, 18}, {1, 0.05, false, 256, 512}}
	if diff := cmp.Diff(want, parsePowerStates(identify)); diff != "" {
		t.Error(diff)
	}
	table := make([]byte, 256)
	binary.LittleEndian.PutUint64(table[8:], 100<<8|4<<3)
	if diff := cmp.Diff([]PowerTransition{{From: 1, To: 4, Idle: 100 * time.Millisecond}}, parseAPST(table)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseCPUList(f *testing.F) {
	for _, s := range []string{"", "0-3,8", "0, 1, 2", "1-", "9999999999", "5-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cpus, err := ParseCPUList(s)
		if err != nil {
			return
		}
		if !slices.IsSorted(cpus) || len(slices.Compact(slices.Clone(cpus))) != len(cpus) {
			t.Errorf("%q = %v: not in order, or not distinct", s, cpus)
		}
		again, err := ParseCPUList(FormatCPUList(cpus))
		if err != nil || !slices.Equal(again, cpus) {
			t.Errorf("%q = %v, written and read again %v, %v", s, cpus, again, err)
		}
	})
}

func FuzzParseCounters(f *testing.F) {
	f.Add("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17")
	f.Add("-1 9223372036854775807 3 4 5 6 7 8 9 10 11")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCounters(s)
		if err == nil && len(strings.Fields(s)) < 11 {
			t.Errorf("%q = %+v", s, c)
		}
	})
}

func FuzzParseProc(f *testing.F) {
	f.Add("Filename Type\n/a\\040b file 1 2 3\n")
	f.Add("1 1 8:1 / /a rw - ext4 /dev/sda1 rw\n2 1 8\n")
	f.Add("1 1 -1:0 / /a rw - ext4 /dev/sda1 rw\n")
	f.Add("   CPU0 CPU1\n 27: 6 0 PCI-MSIX 1-edge nvme0q1\nNMI: 0 0 x\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, swap := range parseSwaps(s) {
			if swap.Path == "" && !strings.Contains(unescapeOctal(s), "(deleted)") {
				t.Errorf("a swap area without a path in %q", s)
			}
		}
		for _, m := range parseMounts(s) {
			if m.Major < 0 || m.Minor < 0 {
				t.Errorf("mount %+v in %q", m, s)
			}
		}
		for _, i := range parseInterrupts(s) {
			if i.Number < 0 || len(i.PerCPU) > len(strings.Fields(s)) {
				t.Errorf("interrupt %+v in %q", i, s)
			}
		}
	})
}

func FuzzSMART(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add(make([]byte, 512), make([]byte, 4096))
	f.Fuzz(func(t *testing.T, page, identify []byte) {
		s := ParseSMART(page, identify)
		if s.ReadBytes < 0 || len(s.SensorsC) > 8 || len(s.CriticalWarnings) > 6 {
			t.Errorf("%+v", s)
		}
		if n := len(parsePowerStates(identify)); n < 1 || n > 32 {
			t.Errorf("%d power states", n)
		}
		parseAPST(page)
	})
}
