package content

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// disk is a target in memory, with a ledger and a verifier for it.
type disk struct {
	data     []byte
	ledger   *Ledger
	verifier *Verifier
}

const block = 4096

func newDisk(tb testing.TB, v workloads.Verify, blocks int) *disk {
	tb.Helper()
	var p *Pattern
	if v.Pattern != "" {
		p = pattern(tb, v.Pattern)
	}
	v.HeaderSeed, v.WriteSequence, v.TrimVerifyZero = true, true, true
	verifier, err := NewVerifier(&v, p, block, 3, 11)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := NewLedger(0, int64(blocks)*block, block)
	if err != nil {
		tb.Fatal(err)
	}
	return &disk{make([]byte, blocks*block), l, verifier}
}

// make returns the data of a write of n blocks at block b, which it holds from then on.
func (d *disk) make(b, n int) []byte {
	if !d.ledger.Acquire(int64(b)*block, uint32(n)*block) {
		panic("the blocks are busy")
	}
	buf := make([]byte, n*block)
	d.verifier.Fill(buf, int64(b)*block, d.ledger)
	return buf
}

func (d *disk) write(b, n int) {
	copy(d.data[b*block:], d.make(b, n))
	d.ledger.Wrote(int64(b)*block, uint32(n)*block, true)
}

func (d *disk) check(b, n int) *Mismatch {
	return check(d.verifier, d.data[b*block:(b+n)*block], int64(b)*block, d.ledger)
}

// checked are the methods that see every wrong byte.
func checked() []string {
	return []string{"md5", "crc64", "crc32c", "crc32", "crc16", "crc7", "sha1", "sha256", "sha512", "sha3-224", "sha3-256", "sha3-384", "sha3-512", "xxhash"}
}

func TestEveryMethodTellsFaultsApart(t *testing.T) {
	for _, method := range append(checked(), "pattern_hdr", "meta") {
		for _, offset := range []int{0, 600} {
			v := workloads.Verify{Kind: method, OffsetBytes: int64(offset)}
			if method == "pattern_hdr" {
				v.Pattern = `"pattern"`
			}
			payload := method != "meta"         // its bytes are checked
			tells := payload && v.Pattern == "" // it differs from one generation to the next
			for _, c := range []struct {
				name   string
				damage func(d *disk, b []byte, old []byte)
				want   Fault
				skip   bool
			}{
				{"stale", func(_ *disk, b, old []byte) { copy(b, old) }, Stale, false},
				{"torn, head new", func(_ *disk, b, old []byte) { copy(b[2048:], old[2048:]) }, Torn, !tells},
				{"torn, head old", func(_ *disk, b, old []byte) { copy(b[:2048], old[:2048]) }, Torn, !tells},
				{"torn, every other sector", func(_ *disk, b, old []byte) {
					for i := 0; i < block; i += 1024 {
						copy(b[i:i+512], old[i:])
					}
				}, Torn, !tells},
				{"misdirected", func(d *disk, b, _ []byte) { copy(b, d.data[3*block:4*block]) }, Misdirected, false},
				{"zeroed", func(_ *disk, b, _ []byte) { clear(b) }, Zeroed, false},
				{"zeroed in part", func(_ *disk, b, _ []byte) { clear(b[3072:]) }, Zeroed, !tells},
				{"a bit in the header", func(_ *disk, b, _ []byte) { b[offset+9] ^= 4 }, Corrupted, false},
				{"a bit in the payload", func(_ *disk, b, _ []byte) { b[4000] ^= 4 }, Corrupted, !payload},
				{"the last byte", func(_ *disk, b, _ []byte) { b[block-1]++ }, Corrupted, !payload},
				{"foreign", func(_ *disk, b, _ []byte) {
					other, err := NewVerifier(&v, patternOf(t, v), block, 0, 99)
					if err != nil {
						t.Fatal(err)
					}
					other.make(b, Header{Generation: 2, Offset: 2 * block, Length: block, Owner: other.owner})
				}, Foreign, false},
			} {
				if c.skip {
					continue
				}
				d := newDisk(t, v, 5)
				d.write(0, 5)
				old := bytes.Clone(d.data[2*block : 3*block])
				d.write(0, 5)
				if m := d.check(0, 5); m != nil {
					t.Fatalf("%s: a sound disk: %v", method, m)
				}
				sound := bytes.Clone(d.data[2*block : 3*block])
				broken := d.data[2*block : 3*block]
				c.damage(d, broken, old)
				m := d.check(0, 5)
				if m == nil {
					t.Errorf("%s, %s: not noticed", method, c.name)
					continue
				}
				if m.Fault != c.want || m.Offset != 2*block || m.Length != block || m.Error() == "" {
					t.Errorf("%s, %s: %v", method, c.name, m)
				}
				if m.Expected != (Expected{State: Written, Generation: 2}) {
					t.Errorf("%s, %s: expected %+v", method, c.name, m.Expected)
				}
				if first := firstDifference(broken, sound); payload && m.First != first && c.want != Stale && c.want != Foreign && c.want != Misdirected {
					t.Errorf("%s, %s: the first wrong byte is %d, not %d", method, c.name, first, m.First)
				}
			}
		}
	}
}

func patternOf(tb testing.TB, v workloads.Verify) *Pattern {
	if v.Pattern == "" {
		return nil
	}
	return pattern(tb, v.Pattern)
}

func TestPatternMethod(t *testing.T) {
	d := newDisk(t, workloads.Verify{Kind: "pattern", Pattern: `0xab%o"x"`}, 4)
	d.write(0, 4)
	if m := d.check(0, 4); m != nil {
		t.Fatal(m)
	}
	d.data[block+77]++
	if m := d.check(0, 4); m == nil || m.Fault != Corrupted || m.First != 77 || m.Offset != block {
		t.Errorf("got %v", m)
	}
	clear(d.data[block : 2*block])
	if m := d.check(0, 4); m == nil || m.Fault != Zeroed {
		t.Errorf("got %v", m)
	}
}

func TestNullChecksNothing(t *testing.T) {
	d := newDisk(t, workloads.Verify{Kind: "null"}, 1)
	d.write(0, 1)
	clear(d.data)
	if m := d.check(0, 1); m != nil {
		t.Error(m)
	}
}

func TestVerifyIntervalsWithinABlock(t *testing.T) {
	d := newDisk(t, workloads.Verify{Kind: "crc32c", IntervalBytes: 512}, 2)
	d.write(0, 2)
	if m := d.check(0, 2); m != nil {
		t.Fatal(m)
	}
	d.data[block+3*512+200] ^= 1
	if m := d.check(0, 2); m == nil || m.Offset != block+3*512 || m.Length != 512 || m.First != 200 {
		t.Errorf("got %v", m)
	}
}

func TestTrims(t *testing.T) {
	d := newDisk(t, workloads.Verify{Kind: "crc32c"}, 3)
	d.write(0, 3)
	d.ledger.Acquire(block, block)
	d.ledger.Trimmed(block, block, true)
	if m := d.check(0, 3); m == nil || m.Fault != NotZeroed || m.Offset != block || m.First != 0 {
		t.Errorf("a trimmed block with data: %v", m)
	}
	clear(d.data[block : 2*block])
	if m := d.check(0, 3); m != nil {
		t.Errorf("a trimmed block of zeros: %v", m)
	}
	d.write(1, 1)
	if m := d.check(0, 3); m != nil {
		t.Errorf("a block written after a trim: %v", m)
	}
}

func TestWhatIsUnknownIsNotChecked(t *testing.T) {
	d := newDisk(t, workloads.Verify{Kind: "crc32c"}, 2)
	copy(d.data, "whatever was here before")
	if m := d.check(0, 2); m != nil {
		t.Errorf("blocks never written: %v", m)
	}
	d.write(0, 2)
	torn := d.make(1, 1)
	copy(d.data[block:block+512], torn)
	d.ledger.Wrote(block, block, false)
	if m := d.check(0, 2); m != nil {
		t.Errorf("a block whose write failed: %v", m)
	}
}

func TestBlocksAreCheckedAgainstTheirOwnHeaders(t *testing.T) {
	d := newDisk(t, workloads.Verify{Kind: "sha256"}, 2)
	d.write(0, 2)
	d.write(0, 1)
	want := Expected{State: Written}
	for b := range 2 {
		if m := d.verifier.CheckBlock(d.data[b*block:(b+1)*block], int64(b)*block, want); m != nil {
			t.Errorf("block %d: %v", b, m)
		}
	}
	d.data[100]++
	if m := d.verifier.CheckBlock(d.data[:block], 0, want); m == nil || m.Fault != Corrupted || m.First != 100 {
		t.Errorf("got %v", m)
	}
	if m := d.verifier.CheckBlock(make([]byte, block), 0, want); m == nil || m.Fault != Zeroed {
		t.Errorf("got %v", m)
	}
}

// TestNoFalseAlarms lets writes, trims, failures and reads of any blocks be in flight at once and complete
// in any order, with whatever a device may leave behind. No check may complain.
func TestNoFalseAlarms(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const blocks = 16
		d := newDisk(t, workloads.Verify{Kind: rapid.SampledFrom(checked()).Draw(rt, "method")}, blocks)
		type inFlight struct {
			kind, b, n int
			data       []byte
		}
		var flying []inFlight
		owner := [blocks]int{}
		for range rapid.IntRange(1, 120).Draw(rt, "steps") {
			if len(flying) == 0 || rapid.Bool().Draw(rt, "start") {
				io := inFlight{kind: rapid.IntRange(0, 3).Draw(rt, "kind"), b: rapid.IntRange(0, blocks-1).Draw(rt, "block")}
				io.n = rapid.IntRange(1, min(5, blocks-io.b)).Draw(rt, "blocks")
				free := true
				for b := io.b; b < io.b+io.n; b++ {
					free = free && owner[b] == 0
				}
				if got := d.ledger.Acquire(int64(io.b)*block, uint32(io.n)*block); got != free {
					rt.Fatalf("acquiring %d blocks at %d: %v, want %v", io.n, io.b, got, free)
				}
				if !free {
					continue
				}
				for b := io.b; b < io.b+io.n; b++ {
					owner[b]++
				}
				if io.kind != 1 {
					io.data = make([]byte, io.n*block)
					d.verifier.Fill(io.data, int64(io.b)*block, d.ledger)
				}
				flying = append(flying, io)
				continue
			}
			i := rapid.IntRange(0, len(flying)-1).Draw(rt, "which")
			io := flying[i]
			flying = slices.Delete(flying, i, i+1)
			offset, length := int64(io.b)*block, uint32(io.n)*block
			on := d.data[io.b*block : (io.b+io.n)*block]
			switch io.kind {
			case 0: // a write
				copy(on, io.data)
				d.ledger.Wrote(offset, length, true)
			case 1: // a read
				if m := check(d.verifier, on, offset, d.ledger); m != nil {
					rt.Fatalf("false alarm: %v", m)
				}
				d.ledger.Release(offset, length)
			case 2: // a trim
				clear(on)
				d.ledger.Trimmed(offset, length, true)
			case 3: // a write that fails half-way
				copy(on, io.data[:rapid.IntRange(0, io.n*block/512).Draw(rt, "sectors")*512])
				d.ledger.Wrote(offset, length, false)
			}
			for b := io.b; b < io.b+io.n; b++ {
				owner[b]--
			}
		}
	})
}

func TestLostWritesAreNoticedAlways(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDisk(t, workloads.Verify{Kind: "crc32c"}, 1)
		for range rapid.IntRange(1, 300).Draw(rt, "writes") {
			d.write(0, 1)
		}
		for range rapid.IntRange(1, generations-1).Draw(rt, "lost") {
			d.make(0, 1)
			d.ledger.Wrote(0, block, true)
		}
		if m := d.check(0, 1); m == nil || m.Fault != Stale {
			rt.Fatalf("got %v", m)
		}
	})
}

func TestLedgerKeepsWorkersApart(t *testing.T) {
	const blocks, workers, rounds = 64, 4, 3000
	l, err := NewLedger(0, blocks*block, block)
	if err != nil {
		t.Fatal(err)
	}
	var owners [blocks]int // written without a lock: the race detector sees what the ledger lets through
	var done sync.WaitGroup
	for w := range workers {
		done.Go(func() {
			seed := uint64(w)
			for range rounds {
				seed = blend(seed, 1)
				b, n := seed%(blocks-3), 1+seed>>32%3
				if !l.Acquire(int64(b)*block, uint32(n)*block) {
					continue
				}
				for i := b; i < b+n; i++ {
					owners[i]++
				}
				l.Wrote(int64(b)*block, uint32(n)*block, true)
			}
		})
	}
	done.Wait()
	for b, n := range owners {
		want := Expected{}
		if n > 0 {
			want = Expected{State: Written, Generation: uint8((n-1)%generations) + 1}
		}
		if got := l.Expect(int64(b) * block); got != want {
			t.Errorf("block %d was written %d times: %+v, want %+v", b, n, got, want)
		}
	}
}

func TestHugeLedgerStaysSmallAndKeepsIOsApart(t *testing.T) {
	l, err := NewLedger(4096, 16<<40, block)
	if err != nil {
		t.Fatal(err)
	}
	if l.Exact() || len(l.words)*4 > 64<<20+8 {
		t.Fatalf("%d bytes for 16 TiB", len(l.words)*4)
	}
	last := int64(16<<40 - block)
	if !l.Acquire(last, block) || l.Acquire(last, block) {
		t.Error("a block was given twice, or never")
	}
	if l.Next(last) != 0 {
		t.Error("a generation is claimed")
	}
	l.Wrote(last, block, true)
	if !l.Acquire(last, block) || l.Expect(last) != (Expected{State: Perhaps}) {
		t.Error("the block was not given back")
	}
	at, length, ok := l.Known(0, 2*block)
	if l.Wrote(last, block, false); l.Expect(last).State != Unknown || !l.Acquire(last, block) {
		t.Error("a block that may be torn is expected to hold something")
	}
	if l.Wrote(last-block, block, true); l.Expect(last).State != Unknown {
		t.Error("a write beside it makes a block whole that may be torn")
	}
	l.Wrote(4096, block, true)
	if !ok || at > last || at < last-1<<20 || length != 2*block {
		t.Errorf("known are %d bytes at %d, %v", length, at, ok)
	}
	if _, _, ok := l.Known(last+1, block); ok {
		t.Error("something is known behind the region")
	}
}

func TestBlocksPerhapsWritten(t *testing.T) {
	d := newDisk(t, workloads.Verify{Kind: "crc32c"}, 2)
	d.write(1, 1)
	want := Expected{State: Perhaps}
	if m := d.verifier.CheckBlock(d.data[:block], 0, want); m != nil {
		t.Errorf("a block without header: %v", m)
	}
	if m := d.verifier.CheckBlock(d.data[block:], block, want); m != nil {
		t.Errorf("a sound block: %v", m)
	}
	if m := d.verifier.CheckBlock(d.data[block:], 0, want); m == nil || m.Fault != Misdirected {
		t.Errorf("a block of another offset: %v", m)
	}
	d.data[block+2000]++
	if m := d.verifier.CheckBlock(d.data[block:], block, want); m == nil || m.Fault != Corrupted || m.First != 2000 {
		t.Errorf("a corrupted block: %v", m)
	}
}

func TestWithoutLedgerEveryBlockIsChecked(t *testing.T) {
	d := newDisk(t, workloads.Verify{Kind: "crc32c"}, 3)
	d.verifier.Fill(d.data, 0, nil)
	if m := check(d.verifier, d.data, 0, nil); m != nil {
		t.Errorf("sound blocks: %v", m)
	}
	clear(d.data[block:])
	if m := check(d.verifier, d.data, 0, nil); m == nil || m.Fault != Zeroed || m.Offset != block {
		t.Errorf("got %v", m)
	}
}

func TestKnownWalksWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const low, blocks = 1024, 40
		l, err := NewLedger(low, low+blocks*block, block)
		if err != nil {
			rt.Fatal(err)
		}
		var want, got [blocks]bool
		for _, b := range rapid.SliceOf(rapid.IntRange(0, blocks-1)).Draw(rt, "written") {
			want[b] = true
			l.Acquire(low+int64(b)*block, block)
			l.Wrote(low+int64(b)*block, block, true)
		}
		most := rapid.Uint32Range(1, 6).Draw(rt, "most") * block
		for offset := int64(0); ; {
			at, length, ok := l.Known(offset, most)
			if !ok {
				break
			}
			if at < offset || length == 0 || length > most || length%block != 0 {
				rt.Fatalf("from %d on: %d bytes at %d", offset, length, at)
			}
			for offset = at; offset < at+int64(length); offset += block {
				got[(offset-low)/block] = true
			}
		}
		if got != want {
			rt.Fatalf("walked %v, written %v", got, want)
		}
	})
}

func TestDigestsAreTheKnownOnes(t *testing.T) {
	// Check values of the catalogue of parametrised CRC algorithms, and FIPS and RFC test vectors, for "123456789".
	for method, want := range map[string]string{
		"crc7": "\x75", "crc16": "\xdb\xd0", "crc32": "\x26\x39\xf4\xcb", "crc32c": "\x83\x92\x06\xe3",
		"crc64": "\x88\x98\x79\x0a\x86\x14\x8b\xae",
		"md5":   "\x25\xf9\xe7\x94\x32\x3b\x45\x38\x85\xf5\x18\x1f\x1b\x62\x4d\x0b",
	} {
		d := newDigester(methods()[method])
		for split := range 10 {
			if got := string(d.sum([]byte("123456789")[:split], []byte("123456789")[split:])); got != want {
				t.Errorf("%s: % x, want % x", method, got, want)
			}
		}
	}
	sizes := map[int]bool{}
	for _, name := range slices.Sorted(maps.Keys(methods())) {
		d := newDigester(methods()[name])
		sizes[d.size] = true
		if d.size > maxDigest {
			t.Errorf("%s: %d bytes", name, d.size)
		}
	}
	if !sizes[maxDigest] {
		t.Error("maxDigest is larger than any digest")
	}
}

func TestVerifierFaults(t *testing.T) {
	for _, c := range []struct {
		code string
		v    workloads.Verify
	}{
		{"VERIFY", workloads.Verify{Kind: "crc33"}},
		{"VERIFY_PATTERN", workloads.Verify{Kind: "pattern"}},
		{"VERIFY_INTERVAL", workloads.Verify{Kind: "md5", IntervalBytes: 1000}},
		{"VERIFY_INTERVAL", workloads.Verify{Kind: "md5", IntervalBytes: 32}},
		{"VERIFY_INTERVAL", workloads.Verify{Kind: "md5", OffsetBytes: 4090}},
	} {
		_, err := NewVerifier(&c.v, nil, block, 0, 0)
		if f := fault.Of(err); err == nil || f.Code != c.code || f.Hint == "" {
			t.Errorf("%+v: %v", c.v, err)
		}
	}
	if v, err := NewVerifier(&workloads.Verify{}, nil, block, 0, 0); v != nil || err != nil {
		t.Errorf("without verify: %v, %v", v, err)
	}
	if _, err := NewLedger(10, 10, 1); fault.Of(err).Code != "VERIFY_REGION" {
		t.Errorf("got %v", err)
	}
}

func TestVerifyingDoesNotAllocate(t *testing.T) {
	for _, method := range append(checked(), "meta", "null") {
		d := newDisk(t, workloads.Verify{Kind: method}, 4)
		buf := make([]byte, 4*block)
		if n := testing.AllocsPerRun(50, func() {
			d.ledger.Acquire(0, 4*block)
			d.verifier.Fill(buf, 0, d.ledger)
			d.ledger.Wrote(0, 4*block, true)
			if m := check(d.verifier, buf, 0, d.ledger); m != nil {
				t.Fatal(m)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", method, n)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, method := range []string{"crc32c", "crc64", "xxhash", "sha256", "meta"} {
		d := newDisk(b, workloads.Verify{Kind: method}, 1)
		buf := make([]byte, block)
		b.Run("fill/"+method, func(b *testing.B) {
			b.SetBytes(block)
			for b.Loop() {
				d.verifier.Fill(buf, 0, d.ledger)
			}
		})
		d.write(0, 1)
		b.Run("check/"+method, func(b *testing.B) {
			b.SetBytes(block)
			for b.Loop() {
				if m := d.check(0, 1); m != nil {
					b.Fatal(m)
				}
			}
		})
	}
	d := newDisk(b, workloads.Verify{Kind: "meta"}, 4)
	b.Run("ledger", func(b *testing.B) {
		for b.Loop() {
			d.ledger.Acquire(block, block)
			d.ledger.Wrote(block, block, true)
		}
	})
}

// check compares what was read from offset with what the ledger expects there, and returns the first block
// that is wrong, nil when none is. Blocks of which nothing is known are not checked.
func check(v *Verifier, buf []byte, offset int64, l *Ledger) *Mismatch {
	for len(buf) >= v.interval {
		if m := v.CheckBlock(buf[:v.interval], offset, l.Expect(offset)); m != nil {
			return m
		}
		buf, offset = buf[v.interval:], offset+int64(v.interval)
	}
	return nil
}
