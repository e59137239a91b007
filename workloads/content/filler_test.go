package content

import (
	"bytes"
	"compress/flate"
	"errors"
	"math"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

func spec() *workloads.BufferSpec { s := workloads.DefaultJob().Buffers; return &s }

func filler(tb testing.TB, s *workloads.BufferSpec, p *Pattern, mixed bool) *Filler {
	tb.Helper()
	f, err := NewFiller(s, p, 1<<20, mixed, 1)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func pattern(tb testing.TB, text string) *Pattern {
	tb.Helper()
	p, err := ParsePattern(text, func(string) ([]byte, error) { return nil, errors.New("no files here") })
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// written returns n buffers of size bytes as the writes of a job would carry them, one after the other, all
// in the same memory and with reads in between when mixed.
func written(tb testing.TB, f *Filler, n, size int, mixed bool) [][]byte {
	tb.Helper()
	buf := make([]byte, size)
	f.Prepare(buf)
	var all [][]byte
	for i := range n {
		if mixed {
			clear(buf) // a read of what was never written
		}
		f.Fill(buf, int64(i)*int64(size))
		all = append(all, bytes.Clone(buf))
	}
	return all
}

// compressed returns the size of data after deflate, relative to before.
func compressed(tb testing.TB, data []byte) float64 {
	tb.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return float64(out.Len()) / float64(len(data))
}

// unique returns the share of distinct pieces of size bytes.
func unique(buffers [][]byte, size int) float64 {
	seen := map[string]bool{}
	n := 0
	for _, b := range buffers {
		for i := 0; i+size <= len(b); i += size {
			seen[string(b[i:i+size])] = true
			n++
		}
	}
	return float64(len(seen)) / float64(n)
}

func TestFillersDoWhatTheyAreAskedFor(t *testing.T) {
	for _, c := range []struct {
		name       string
		set        func(*workloads.BufferSpec)
		compressed [2]float64 // of one buffer, within
		unique     [2]float64 // of 512-byte pieces over all buffers, within
	}{
		{"scramble", func(*workloads.BufferSpec) {}, [2]float64{0.99, 1.01}, [2]float64{1, 1}},
		{"refill", func(s *workloads.BufferSpec) { s.Refill = true }, [2]float64{0.99, 1.01}, [2]float64{1, 1}},
		{"constant", func(s *workloads.BufferSpec) { s.Scramble = false }, [2]float64{0.99, 1.01}, [2]float64{0.005, 0.005}},
		{"zero", func(s *workloads.BufferSpec) { s.Zero = true }, [2]float64{0, 0.01}, [2]float64{0, 0.001}},
		{"compress 50", func(s *workloads.BufferSpec) { s.CompressPercent = 50 }, [2]float64{0.48, 0.56}, [2]float64{1, 1}},
		{"compress 75", func(s *workloads.BufferSpec) { s.CompressPercent = 75 }, [2]float64{0.24, 0.32}, [2]float64{1, 1}},
		{"compress 30, chunk 4096", func(s *workloads.BufferSpec) { s.CompressPercent, s.CompressChunk = 30, 4096 }, [2]float64{0.69, 0.72}, [2]float64{0.6, 0.8}},
		{"dedupe 60", func(s *workloads.BufferSpec) { s.DedupePercent = 60 }, [2]float64{0.99, 1.01}, [2]float64{0.3, 0.5}},
		{"dedupe 100", func(s *workloads.BufferSpec) { s.DedupePercent = 100 }, [2]float64{0.99, 1.01}, [2]float64{0.005, 0.005}},
	} {
		for _, mixed := range []bool{false, true} {
			s := spec()
			c.set(s)
			all := written(t, filler(t, s, nil, mixed), 200, 1<<14, mixed)
			if got := compressed(t, all[100]); got < c.compressed[0] || got > c.compressed[1] {
				t.Errorf("%s, mixed %v: a buffer shrinks to %.3f, want %v", c.name, mixed, got, c.compressed)
			}
			if got := unique(all, 512); got < c.unique[0] || got > c.unique[1] {
				t.Errorf("%s, mixed %v: %.3f of the pieces are unique, want %v", c.name, mixed, got, c.unique)
			}
		}
	}
}

func TestFillCoversWholeBuffersOfAnyLength(t *testing.T) {
	for _, size := range []int{1, 7, 8, 31, 33, 511, 513, 4096} {
		buf := make([]byte, size+1)
		// A byte of a random fill is zero once in 256 times; over 40 fills every byte has to change.
		or := make([]byte, size)
		for i := range 40 {
			fillRandom(buf[:size], uint64(i))
			for k := range or {
				or[k] |= buf[k]
			}
		}
		if bytes.IndexByte(or, 0) >= 0 || buf[size] != 0 {
			t.Errorf("%d bytes: some were left out, or one more was written", size)
		}
	}
}

func TestRandomDataIsRepeatable(t *testing.T) {
	a, b := filler(t, spec(), nil, false), filler(t, spec(), nil, false)
	if !bytes.Equal(written(t, a, 3, 4096, false)[2], written(t, b, 3, 4096, false)[2]) {
		t.Error("the same seed gave other data")
	}
}

func TestRandomDataIsEvenlySpread(t *testing.T) {
	buf := make([]byte, 1<<20)
	fillRandom(buf, 3)
	var counts [256]float64
	for _, b := range buf {
		counts[b]++
	}
	stat := 0.0
	for _, c := range counts {
		stat += (c - 4096) * (c - 4096) / 4096
	}
	// 255 degrees of freedom: mean 255, deviation 22.6.
	if math.Abs(stat-255) > 5*22.6 {
		t.Errorf("chi-square of the bytes is %.1f", stat)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		text string
		want string
	}{
		{"0xdeadface", "\xde\xad\xfa\xce\xde\xad\xfa\xce\xde\xad"},
		{"0xabc", "\x0a\xbc\x0a\xbc"},
		{"12", "\x0c\x0c\x0c"},
		{"0", "\x00\x00"},
		{"-12", "\xf4\xff\xff\xff\xf4\xff"},
		{"1234", "\xd2\x04\xd2\x04"},
		{"65536", "\x00\x00\x01\x00\x00\x01"},
		{"-3000000000", "\x00\xa2\x2f\x4d\xff\xff\xff\xff\x00"},
		{`"ab"0x01`, "ab\x01ab\x01a"},
		{`0xdeadface"abcd"-12`, "\xde\xad\xfa\xceabcd\xf4\xff\xff\xff\xde"},
		{`0xff%o"x"`, "\xff\x00\x02\x01\x00\x00\x00\x00\x00x\xff\x00\x02\x01"},
		{"1,2 3", "\x01\x02\x03\x01"},
	} {
		got := make([]byte, len(c.want))
		pattern(t, c.text).Fill(got, 0x10200)
		if string(got) != c.want {
			t.Errorf("%s: % x, want % x", c.text, got, c.want)
		}
	}
	p, err := ParsePattern("'name'", func(name string) ([]byte, error) { return bytes.Repeat([]byte(name), 1000), nil })
	if err != nil || len(p.bytes) != maxPattern {
		t.Errorf("a long file: %v, %d bytes", err, len(p.bytes))
	}
	for _, bad := range []string{"", `"`, `""`, "0x", "0xg", "x", "%", "%p", "--1", "99999999999999999999", "'name'", `"` + string(make([]byte, 513)) + `"`} {
		_, err := ParsePattern(bad, func(string) ([]byte, error) { return nil, errors.New("not there") })
		if f := fault.Of(err); err == nil || f.Exit != fault.ExitUsage || f.Hint == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"0xdeadface", `"abcd"-12`, "0xff%o'file' 1,2", "-99999999999", "%o%o%o"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePattern(text, func(string) ([]byte, error) { return []byte("data"), nil })
		if err != nil {
			return
		}
		if len(p.bytes) == 0 || len(p.bytes) > maxPattern {
			t.Fatalf("%q is %d bytes", text, len(p.bytes))
		}
		p.Fill(make([]byte, 777), 1<<40)
	})
}

func TestFaultyPercentages(t *testing.T) {
	s := spec()
	s.DedupePercent = 101
	if _, err := NewFiller(s, nil, 4096, false, 0); err == nil || fault.Of(err).Code != "BUFFER_PERCENT" {
		t.Errorf("got %v", err)
	}
}

func fillers(tb testing.TB) map[string]*Filler {
	set := func(mixed bool, p *Pattern, f func(*workloads.BufferSpec)) *Filler {
		s := spec()
		f(s)
		return filler(tb, s, p, mixed)
	}
	none := func(*workloads.BufferSpec) {}
	return map[string]*Filler{
		"scramble":       set(false, nil, none),
		"scramble,mixed": set(true, nil, none),
		"refill":         set(false, nil, func(s *workloads.BufferSpec) { s.Refill = true }),
		"zero":           set(false, nil, func(s *workloads.BufferSpec) { s.Zero = true }),
		"pattern":        set(false, pattern(tb, "0xdeadface%o"), none),
		"compress=50":    set(false, nil, func(s *workloads.BufferSpec) { s.CompressPercent = 50 }),
		"dedupe=50":      set(false, nil, func(s *workloads.BufferSpec) { s.DedupePercent = 50 }),
	}
}

func TestFillDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 4096)
	for name, f := range fillers(t) {
		if n := testing.AllocsPerRun(100, func() { f.Fill(buf, 4096) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	for name, f := range fillers(b) {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 4096)
			f.Prepare(buf)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				f.Fill(buf, 4096)
			}
		})
	}
}
