package content

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// newState returns the state of a job with two regions of so many blocks, as it begins.
func newState(tb testing.TB, blocks int64, trims bool) *SavedState {
	tb.Helper()
	s := &SavedState{
		Kind: "crc32c", IntervalBytes: block, BlockBytes: block, Seed: 11, Trims: trims,
		Regions: []Extent{{0, blocks * block}, {block, (blocks + 1) * block}},
	}
	n, err := s.Words()
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Attach(make([]atomic.Uint32, n)); err != nil {
		tb.Fatal(err)
	}
	return s
}

// file returns the file of a state.
func (s *SavedState) file() []byte {
	out := s.Head()
	for _, l := range s.Ledgers {
		for i := range l.words {
			out = binary.NativeEndian.AppendUint32(out, l.words[i].Load())
		}
	}
	return out
}

func TestStateSurvivesSaving(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const blocks = 50
		s := newState(t, blocks, true)
		flying := map[int64]Expected{}
		l := s.Ledgers[1]
		for range rapid.IntRange(0, 100).Draw(rt, "steps") {
			offset := block + rapid.Int64Range(0, blocks-1).Draw(rt, "block")*block
			before := l.Expect(offset)
			if !l.Acquire(offset, block) {
				continue
			}
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			case 0:
				l.Trimmed(offset, block, true)
			case 1:
				flying[offset] = Expected{State: InFlight, Generation: l.Next(offset), Before: before.State, BeforeGeneration: before.Generation, Trims: true}
			case 2:
				l.Wrote(offset, block, false)
			default:
				l.Wrote(offset, block, true)
			}
		}
		s.Ended = len(flying) == 0
		again, err := ParseState(s.file())
		if err != nil {
			rt.Fatal(err)
		}
		if again.Kind != s.Kind || again.Seed != s.Seed || again.IntervalBytes != s.IntervalBytes || again.Ended != s.Ended || again.Trims != s.Trims {
			rt.Fatalf("%+v after saving, %+v before", again, s)
		}
		for b := range int64(blocks + 1) {
			want := l.Expect(b * block)
			if w, ok := flying[b*block]; ok {
				want = w
			}
			if got := again.Ledgers[1].Expect(b * block); got != want {
				rt.Fatalf("block %d: %+v after saving, %+v before", b, got, want)
			}
		}
	})
}

func TestDamagedStatesAreRefused(t *testing.T) {
	s := newState(t, 10, false)
	live := s.file()
	s.Ended = true
	ended := s.file()
	for name, data := range map[string][]byte{
		"empty": nil, "short": live[:60], "the first format": append([]byte("blkmetV\x01"), live[8:]...), "a cell fewer": live[:len(live)-4], "a cell more": append(bytes.Clone(live), 0, 0, 0, 0),
		"a bit of the head": flipped(live, 9), "a bit of a region": flipped(live, 70), "a bit of a cell": flipped(ended, len(ended)-1), "no regions": flipped(live, 32),
	} {
		if _, err := ParseState(data); err == nil || fault.Of(err).Code != "VERIFY_STATE" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseState(ended); err != nil {
		t.Errorf("the sound one: %v", err)
	}
}

func flipped(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 2
	return out
}

// What was in flight when a run was cut may be old or new; a part of each is torn, and anything else is wrong
// as ever.
func TestBlocksInFlight(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes int
		trims  bool
		damage func(b, old, next []byte)
		want   string
	}{
		{"old", 2, false, func([]byte, []byte, []byte) {}, ""},
		{"new", 2, false, func(b, _, next []byte) { copy(b, next) }, ""},
		{"half", 2, false, func(b, _, next []byte) { copy(b, next[:2048]) }, "torn"},
		{"the other half", 2, false, func(b, _, next []byte) { copy(b[2048:], next[2048:]) }, "torn"},
		{"older", 2, false, func(b, old, _ []byte) { copy(b, old) }, "stale"},
		{"zeros", 2, false, func(b, _, _ []byte) { clear(b) }, "zeroed"},
		{"zeros of a job that trims", 2, true, func(b, _, _ []byte) { clear(b) }, ""},
		{"half zeros of a job that trims", 2, true, func(b, _, _ []byte) { clear(b[2048:]) }, ""},
		{"a bit", 2, false, func(b, _, _ []byte) { b[3000] ^= 1 }, "corrupted"},
		{"never written", 0, false, func([]byte, []byte, []byte) {}, ""},
		{"written at last", 0, false, func(b, _, next []byte) { copy(b, next) }, ""},
		{"written in part", 0, false, func(b, _, next []byte) { copy(b[1024:], next[1024:]) }, "torn"},
		{"others' data before", 0, false, func(b, _, _ []byte) { b[7] = 7 }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newState(t, 3, c.trims)
			d := newDisk(t, workloads.Verify{Kind: "crc32c"}, 3)
			d.ledger = s.Ledgers[0]
			var old []byte
			for range c.writes {
				old = bytes.Clone(d.data[block : 2*block])
				d.write(1, 1)
			}
			next := d.make(1, 1)
			again, err := ParseState(s.file())
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "stale" { // the block before the last
				old = bytes.Clone(old)
				d.verifier.make(old, Header{Generation: 1, Offset: block, Length: block, Owner: d.verifier.owner})
			}
			d.ledger = again.Ledgers[0]
			c.damage(d.data[block:2*block], old, next)
			got := ""
			if m := d.check(0, 3); m != nil {
				got = m.Fault.String()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzParseState(f *testing.F) {
	s := newState(f, 10, true)
	f.Add(s.file())
	s.Ended = true
	f.Add(s.file()[:stateHead+32])
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := len(data); n >= stateHead {
			regions := int(binary.LittleEndian.Uint32(data[32:]))
			if regions <= mostRegions && n >= stateHead+16*regions { // let it behind the checksum
				data = bytes.Clone(data)
				binary.LittleEndian.PutUint32(data[56:], headSum(data, regions))
			}
		}
		s, err := ParseState(data)
		if err != nil {
			return
		}
		if s.Ended {
			if got, want := s.sum(), crc32.Checksum(data[s.HeadBytes():], crc32.MakeTable(crc32.Castagnoli)); got != want {
				t.Fatalf("sum %x, want %x", got, want)
			}
		}
		again, err := ParseState(s.file())
		if err != nil {
			t.Fatalf("what was saved cannot be loaded: %v", err)
		}
		for i, l := range s.Ledgers {
			for _, offset := range []int64{l.low, (l.low + l.high) / 2, l.high - 1, l.high} {
				if got, want := again.Ledgers[i].Expect(offset), l.Expect(offset); got != want {
					t.Fatalf("%d: %+v, want %+v", offset, got, want)
				}
			}
		}
	})
}
