package units

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The expected values are those that fio 3.33 prints under --parse-only --debug=parse.
func TestParseQuantity(t *testing.T) {
	tests := []struct {
		in      string
		want    int64
		percent bool
		trap    bool
	}{
		{in: "4k", want: 4096},
		{in: "4K", want: 4096},
		{in: "4kb", want: 4096},
		{in: "4KiB", want: 4000, trap: true},
		{in: "1GIB", want: 1000000000, trap: true},
		{in: "1pib", want: 1000000000000000, trap: true},
		{in: "4ki", want: 4096},
		{in: "4b", want: 4},
		{in: "1t", want: 1 << 40},
		{in: "1p", want: 1 << 50},
		{in: "4x", want: 4, trap: true},
		{in: "1.5m", want: 1, trap: true},
		{in: "1 m", want: 1, trap: true},
		{in: " 4k", want: 4, trap: true},
		{in: " 4", want: 4},
		{in: "4k ", want: 4096},
		{in: "1e6", want: 1, trap: true},
		{in: "0x1000", want: 4096},
		{in: "0x10k", want: 16, trap: true},
		{in: "100x", want: 256, trap: true},
		{in: "010", want: 10},
		{in: "08", want: 8},
		{in: "+5", want: 5},
		{in: "-5", want: -5},
		{in: "-4k", want: -4096},
		{in: "4kfoo", want: 4096, trap: true},
		{in: "4mega", want: 4 << 20, trap: true},
		{in: "0x", want: 0},
		{in: "50%", want: 50, percent: true},
		{in: "5%x", want: 5, percent: true, trap: true},
	}
	for _, tt := range tests {
		q, err := ParseQuantity(tt.in, 1024)
		if err != nil || q.Value != tt.want || q.Percent != tt.percent || (q.Trap != "") != tt.trap {
			t.Errorf("ParseQuantity(%q) = %+v, %v; want %d, percent %v, trap %v", tt.in, q, err, tt.want, tt.percent, tt.trap)
		}
	}
	for _, in := range []string{"", "x", "k", "-", "99999999999999999999", "9223372036854775807k", "-x1", "+"} {
		if q, err := ParseQuantity(in, 1024); err == nil {
			t.Errorf("ParseQuantity(%q) = %+v, want an error", in, q)
		}
	}
	if q, _ := ParseQuantity("4k", 1000); q.Value != 4000 || q.Trap != "" {
		t.Errorf("4k with kb_base=1000 is %+v", q)
	}
	if q, _ := ParseQuantity("4kib", 1000); q.Value != 4096 || q.Trap != "" {
		t.Errorf("4kib with kb_base=1000 is %+v", q)
	}
	if q, _ := ParseQuantity("4ki", 1000); q.Value != 4000 || q.Trap == "" {
		t.Errorf("4ki with kb_base=1000 is %+v, want 4000 and a trap", q)
	}
	if q, _ := ParseQuantity("3z", 1024); q.Value != 3 || !q.Zones || q.Trap != "" {
		t.Errorf("3z is %+v", q)
	}
}

func TestSplitList(t *testing.T) {
	tests := []struct {
		in   string
		want []int64 // -1 for an item that is no number
		more bool
	}{
		{"8k", []int64{8192}, false},
		{"8k,32k", []int64{8192, 32768}, false},
		{"8k,32k,", []int64{8192, 32768}, true},
		{"8k,", []int64{8192}, true},
		{",8k", []int64{-1, 8192}, false},
		{",", []int64{-1}, true},
		{"1k-4k", []int64{1024, 4096}, false},
		{"1k:4k", []int64{1024, 4096}, false},
		{"1,2,3,4", []int64{1, 2, 3, 4}, false},
		{"-5", []int64{-5}, false},
	}
	for _, tt := range tests {
		items, more := SplitList(tt.in)
		if len(items) != len(tt.want) || more != tt.more {
			t.Errorf("SplitList(%q) = %q, %v", tt.in, items, more)
			continue
		}
		for i, it := range items {
			q, err := it.Quantity(1024)
			if err != nil {
				q.Value = -1
			}
			if q.Value != tt.want[i] || q.Trap != "" {
				t.Errorf("SplitList(%q)[%d] is %+v, want %d", tt.in, i, q, tt.want[i])
			}
		}
	}
}

func TestParseDuration(t *testing.T) {
	const s, us = time.Second, time.Microsecond
	tests := []struct {
		in   string
		bare time.Duration
		want time.Duration
		trap bool
	}{
		{"10", s, 10 * s, false},
		{"10", us, 10 * us, false},
		{"10s", us, 10 * s, false},
		{"1m", s, 60 * s, false},
		{"1M", s, 60 * s, false},
		{"1h", s, time.Hour, false},
		{"1d", s, 24 * time.Hour, false},
		{"10ms", s, 10 * time.Millisecond, false},
		{"10msec", s, 10 * time.Millisecond, false},
		{"5us", s, 5 * us, false},
		{"5usec", s, 5 * us, false},
		{"5usx", s, 5 * us, true},
		{"1min", s, us, true},
		{"1sec", s, us, true},
		{"10seconds", s, 10 * us, true},
		{"1ns", s, us, true},
		{"0x10", s, 16 * us, true},
		{"0.5", s, 0, true},
		{"1.5s", s, s, true},
		{"5 s", s, 5 * s, false},
		{"5 s", us, 5 * us, true},
		{" 10ms", s, 10 * s, true},
	}
	for _, tt := range tests {
		d, trap, err := ParseDuration(tt.in, tt.bare)
		if err != nil || d != tt.want || (trap != "") != tt.trap {
			t.Errorf("ParseDuration(%q, %v) = %v, %q, %v; want %v, trap %v", tt.in, tt.bare, d, trap, err, tt.want, tt.trap)
		}
	}
	for _, in := range []string{"", "s", "9223372036854775807", "-"} {
		if d, _, err := ParseDuration(in, s); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, d)
		}
	}
	// fio reads the lower bound of a range from the whole text, where "s-10s" is no suffix.
	items, _ := SplitList("5s-10s")
	if d, trap, err := items[0].Duration(s); d != 5*us || trap == "" || err != nil {
		t.Errorf("the first of 5s-10s is %v, %q, %v; want 5us and a trap", d, trap, err)
	}
	items, _ = SplitList("5-10s")
	if d, trap, err := items[0].Duration(us); d != 5*s || trap == "" || err != nil {
		t.Errorf("the first of 5-10s is %v, %q, %v; want 5s and a trap", d, trap, err)
	}
}

func TestFormat(t *testing.T) {
	tests := []struct{ got, want string }{
		{Bytes(0), "0 B"},
		{Bytes(512), "512 B"},
		{Bytes(1023), "1023 B"},
		{Bytes(1024), "1 KiB"},
		{Bytes(1536 << 20), "1.5 GiB"},
		{Bytes(1<<20 - 1), "1 MiB"},
		{Bytes(-4096), "-4 KiB"},
		{Count(950), "950"},
		{Count(42512), "42.51k"},
		{Count(1234567), "1.235M"},
		{Count(999999), "1M"},
		{Count(0.5), "0.5"},
		{Nanoseconds(823), "823 ns"},
		{Nanoseconds(12345), "12.35 µs"},
		{Nanoseconds(999950), "1 ms"},
		{Nanoseconds(1.5e6), "1.5 ms"},
		{Nanoseconds(9e10), "90 s"},
		{Nanoseconds(4.2), "4.2 ns"},
		{Size(4096), "4k"},
		{Size(0), "0"},
		{Size(4000), "4000"},
		{Size(1 << 30), "1g"},
		{Time(10 * time.Second), "10s"},
		{Time(1500 * time.Millisecond), "1500ms"},
		{Time(20 * time.Microsecond), "20us"},
		{Time(15), "15ns"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<62).Draw(t, "n") >> rapid.IntRange(0, 60).Draw(t, "shift")
		if q, err := ParseQuantity(Size(n), 1024); err != nil || q != (Quantity{Value: n}) {
			t.Fatalf("%d printed as %s and read as %+v, %v", n, Size(n), q, err)
		}
		d := time.Duration(rapid.Int64Range(0, 1<<52).Draw(t, "us")) * time.Microsecond
		if got, trap, err := ParseDuration(Time(d), time.Hour); got != d || trap != "" || err != nil {
			t.Fatalf("%v printed as %s and read as %v, %q, %v", d, Time(d), got, trap, err)
		}
	})
}

func FuzzNumbers(f *testing.F) {
	for _, s := range []string{"4k", "4KiB", "0x10", " 1,2", "50%", "1min", "-5", "9223372036854775807p", "1k-4k"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		items, _ := SplitList(s)
		for _, it := range items {
			if q, err := it.Quantity(1024); err == nil && q.Percent && q.Zones {
				t.Errorf("%q is a percentage and a number of zones", it.Text)
			}
			if d, _, err := it.Duration(time.Second); err == nil && d < 0 && it.Tail[0] != '-' && leadingSign(it.Tail) != '-' {
				t.Errorf("%q is negative: %v", it.Text, d)
			}
		}
	})
}

func leadingSign(s string) byte {
	for i := range len(s) {
		if s[i] > ' ' {
			return s[i]
		}
	}
	return 0
}
