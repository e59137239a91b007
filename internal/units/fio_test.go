package units

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/testlab"
)

// fioReads returns the numbers that fio reads from each value of the option: what it prints while parsing.
func fioReads(t *testing.T, option string, values []string) [][]uint64 {
	t.Helper()
	line := regexp.MustCompile(`Parsing section \[job(\d+)\]|ret=(\d), out=(-?\d+)`)
	reads := make([][]uint64, len(values))
	file := filepath.Join(t.TempDir(), "numbers.fio")
	for next := 0; next < len(values); { // fio stops at the first value that it refuses
		var jobs strings.Builder
		for i := next; i < len(values); i++ {
			fmt.Fprintf(&jobs, "[job%d]\n%s=%s\n", i, option, values[i])
		}
		if err := os.WriteFile(file, []byte(jobs.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := testlab.Command(t, "fio", "--parse-only", "--debug=parse", file).CombinedOutput()
		job := -1
		for _, m := range line.FindAllStringSubmatch(string(out), -1) {
			switch {
			case m[1] != "":
				job, _ = strconv.Atoi(m[1])
			case m[2] == "0":
				n, err := strconv.ParseUint(m[3], 10, 64)
				if err != nil {
					t.Fatalf("%s: %v", m[0], err)
				}
				reads[job] = append(reads[job], n)
			}
		}
		if job < next {
			t.Fatalf("fio parsed nothing: %v\n%s", err, out)
		}
		next = job + 1
	}
	return reads
}

// randomNumbers makes texts that look like numbers to a varying degree.
func randomNumbers(n int) []string {
	random := rand.New(rand.NewPCG(1, 2))
	const digits, suffixes = "0123456789", "kKmMgGtTpPiIbBsSuUeExXhd%. _"
	list := make([]string, n)
	for i := range list {
		var b strings.Builder
		b.WriteString([...]string{"", "", "", "", "0x", "+", " ", "0"}[random.IntN(8)])
		for range 1 + random.IntN(4) {
			b.WriteByte(digits[random.IntN(len(digits))])
		}
		for range random.IntN(4) {
			b.WriteByte(suffixes[random.IntN(len(suffixes))])
		}
		if random.IntN(4) == 0 {
			b.WriteString([...]string{",", ":", "-", ",,"}[random.IntN(4)])
			b.WriteByte(digits[random.IntN(len(digits))])
			b.WriteByte("kmsg,"[random.IntN(5)])
		}
		list[i] = strings.TrimRight(b.String(), " ") // a line's end is trimmed before its value is read
	}
	return list
}

func TestQuantitiesAgainstFio(t *testing.T) {
	testlab.Require(t, "fio")
	values := append(randomNumbers(1500), "4KiB", "4ki", "1.5m", "8k,32k,", ",8k", "1k-4k", "10%", "5%x", "100x", "0x10k", " 4k")
	for i, want := range fioReads(t, "fsync", values) {
		items, _ := SplitList(values[i])
		var got []uint64
		tooLarge := false
		for _, it := range items {
			q, err := it.Quantity(1024)
			tooLarge = tooLarge || errors.Is(err, errTooLarge)
			switch {
			case err != nil:
			case q.Percent:
				got = append(got, ^uint64(q.Value)) // how fio tells percentages from numbers
			default:
				got = append(got, uint64(q.Value))
			}
		}
		if !tooLarge && fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("fsync=%q is %d, fio reads %d", values[i], got, want)
		}
	}
}

func TestDurationsAgainstFio(t *testing.T) {
	testlab.Require(t, "fio")
	values := append(randomNumbers(1500), "1min", "1sec", "10msec", "5usx", "1.5s", "0x10", "1d", "1H", "5s-10s", "5-10s", "4S,9m", " 10ms")
	for _, option := range []struct {
		name string
		bare time.Duration
	}{{"runtime", time.Second}, {"max_latency", time.Microsecond}} {
		for i, want := range fioReads(t, option.name, values) {
			items, _ := SplitList(values[i])
			var got []uint64
			tooLarge := false
			for _, it := range items {
				d, _, err := it.Duration(option.bare)
				tooLarge = tooLarge || errors.Is(err, errTooLarge)
				if err == nil {
					got = append(got, uint64(d/time.Microsecond))
				}
			}
			if !tooLarge && fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s=%q is %d us, fio reads %d", option.name, values[i], got, want)
			}
		}
	}
}
