package content

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// A block under verification begins (or, with verify_offset, continues) with a header; all numbers are
// little-endian:
//
//	 0  magic "blkm"
//	 4  version of this layout
//	 5  method
//	 6  generation of the block, 1..125 in a circle; 0 when not kept
//	 7  worker that wrote it
//	 8  offset of the block in its target, bytes
//	16  length of the block, bytes
//	20  job seed, folded to 32 bits: whose blocks these are
//	24  number of the write, counted by its worker
//	32  header checksum: CRC-32C of bytes 0..31 and of the digest
//	36  digest of the payload
//
// The payload follows from the folded seed, offset and generation, and every sector of it begins with a stamp
// that gives the seed and the generation away. So what another generation, or another run's block, looked
// like need not be kept to be recognised.
const (
	headerMagic   = 0x6d6b6c62
	headerVersion = 2
	headerSize    = 36
	sector        = 512 // bytes: what devices write at once at the least, so where a torn write breaks
	stampSize     = 8   // bytes at the start of a sector of payload
)

// Header is what a block says about itself.
type Header struct {
	Generation uint8
	Worker     uint8
	Offset     int64
	Length     uint32
	Owner      uint32 // the job seed, folded
	Write      uint64
}

// Verifier makes and checks blocks for one worker.
type Verifier struct {
	digester
	interval int // bytes under one header
	at       int // of the header within the interval
	pattern  *Pattern
	owner    uint32
	worker   uint8
	write    uint64
	scratch  []byte // one interval

	anyOwner      bool // verify_header_seed=0: blocks of any job or run are right
	anyGeneration bool // verify_write_sequence=0: blocks of any generation are right
	anyTrimmed    bool // trim_verify_zero=0: a trimmed block may hold anything
}

// NewVerifier returns the verifier of one worker, or nil without error when the job does not verify. Every
// I/O has to be made up of blocks of the given number of bytes, the ledger's. pattern is the parsed
// verify_pattern, or nil. Workers that check each other's blocks have the same seed.
func NewVerifier(v *workloads.Verify, pattern *Pattern, block int, worker int, seed uint64) (*Verifier, error) {
	m, ok := methods()[v.Kind]
	if !ok {
		return nil, fault.Usage("VERIFY", "use md5, crc32c, crc64, sha256, sha512, xxhash, meta, pattern or another of the documented methods",
			"verify=%s is not known", v.Kind)
	}
	if m == methodNone {
		return nil, nil
	}
	if (m == methodPattern || m == methodPatternHeader) && pattern == nil {
		return nil, fault.Usage("VERIFY_PATTERN", "add verify_pattern", "verify=%s needs a pattern", v.Kind)
	}
	interval := int(v.IntervalBytes)
	if interval == 0 {
		interval = block
	}
	d := newDigester(m)
	if interval <= 0 || block%interval != 0 || m != methodPattern && (int(v.OffsetBytes) < 0 || int(v.OffsetBytes)+headerSize+d.size > interval) {
		return nil, fault.Usage("VERIFY_INTERVAL", "let verify_interval divide the smallest block size, and leave room for the header",
			"verify_interval=%d, verify_offset=%d: a header of %d bytes does not fit into blocks of %d", interval, int(v.OffsetBytes), headerSize+d.size, block)
	}
	return &Verifier{
		digester: d, interval: interval, at: int(v.OffsetBytes), pattern: pattern,
		owner: uint32(seedOf(seed, 0x04e1)), worker: uint8(worker), scratch: make([]byte, interval),
		anyOwner: !v.HeaderSeed, anyGeneration: !v.WriteSequence, anyTrimmed: !v.TrimVerifyZero,
	}, nil
}

// Interval returns how many bytes are checked at a time: those under one header.
func (v *Verifier) Interval() int { return v.interval }

// Fill makes buf the data of a write at offset, whose blocks the caller holds in the ledger.
func (v *Verifier) Fill(buf []byte, offset int64, l *Ledger) {
	v.write++
	for len(buf) >= v.interval {
		v.make(buf[:v.interval], Header{
			Generation: l.Next(offset), Worker: v.worker, Offset: offset,
			Length: uint32(v.interval), Owner: v.owner, Write: v.write,
		})
		buf, offset = buf[v.interval:], offset+int64(v.interval)
	}
}

// make builds a block: payload, then header.
func (v *Verifier) make(block []byte, h Header) {
	v.payload(block, h.Offset, h.Generation, h.Owner)
	if v.method == methodPattern {
		return
	}
	v.seal(block, h)
}

// payload fills a whole block with what its payload is made of; the header covers a part of it.
func (v *Verifier) payload(block []byte, offset int64, generation uint8, owner uint32) {
	if v.pattern != nil {
		v.pattern.Fill(block, offset)
		return
	}
	fillRandom(block, seedOf(uint64(owner), uint64(offset), uint64(generation)))
	for i := 0; i+stampSize <= len(block); i += sector {
		binary.LittleEndian.PutUint64(block[i:], stamp(owner, generation, offset+int64(i)))
	}
}

// stamp returns what the sector of payload at offset begins with: owner, generation and a check, hidden so
// that stamps are as random as the rest.
func stamp(owner uint32, generation uint8, offset int64) uint64 {
	check := seedOf(uint64(owner), uint64(generation), uint64(offset)) & 0xffffff
	return (uint64(owner)<<32 | uint64(generation)<<24 | check) ^ seedOf(uint64(offset))
}

// stampOf reads the stamp of the sector at offset; false when it has none of its place.
func stampOf(data []byte, offset int64) (owner uint32, generation uint8, ok bool) {
	if len(data) < stampSize {
		return 0, 0, false
	}
	s := binary.LittleEndian.Uint64(data)
	plain := s ^ seedOf(uint64(offset))
	owner, generation = uint32(plain>>32), uint8(plain>>24)
	return owner, generation, s == stamp(owner, generation, offset)
}

// headerLength is the size of a header with its digest.
func (v *Verifier) headerLength() int { return headerSize + v.size }

// around returns the payload's parts before and behind the header.
func (v *Verifier) around(block []byte) (before, behind []byte) {
	return block[:v.at], block[v.at+v.headerLength():]
}

// seal writes the header over its place in the block.
func (v *Verifier) seal(block []byte, h Header) {
	b := block[v.at : v.at+v.headerLength()]
	binary.LittleEndian.PutUint32(b, headerMagic)
	b[4], b[5], b[6], b[7] = headerVersion, uint8(v.method), h.Generation, h.Worker
	binary.LittleEndian.PutUint64(b[8:], uint64(h.Offset))
	binary.LittleEndian.PutUint32(b[16:], h.Length)
	binary.LittleEndian.PutUint32(b[20:], h.Owner)
	binary.LittleEndian.PutUint64(b[24:], h.Write)
	copy(b[headerSize:], v.sum(v.around(block)))
	binary.LittleEndian.PutUint32(b[32:], v.headerSum(b))
}

func (v *Verifier) headerSum(b []byte) uint32 {
	return crc32.Update(crc32.Update(0, v.castagnoli, b[:32]), v.castagnoli, b[headerSize:])
}

// header reads a block's header; false when it is none or damaged.
func (v *Verifier) header(block []byte) (Header, bool) {
	b := block[v.at : v.at+v.headerLength()]
	if binary.LittleEndian.Uint32(b) != headerMagic || b[4] != headerVersion || b[5] != uint8(v.method) ||
		binary.LittleEndian.Uint32(b[32:]) != v.headerSum(b) {
		return Header{}, false
	}
	return Header{
		Generation: b[6], Worker: b[7], Offset: int64(binary.LittleEndian.Uint64(b[8:])),
		Length: binary.LittleEndian.Uint32(b[16:]), Owner: binary.LittleEndian.Uint32(b[20:]), Write: binary.LittleEndian.Uint64(b[24:]),
	}, true
}

// Fault is how a block differs from what it should hold.
type Fault uint8

const (
	Corrupted   Fault = iota // neither of the following: some bytes are wrong
	Stale                    // a whole block, but of an older generation: a write was lost
	Torn                     // sectors of two generations: a write was done in part
	Misdirected              // a whole block, but of another offset: a write or read went astray
	Zeroed                   // zeros where data was written
	Foreign                  // a whole block of another job, or of an earlier run of this one
	NotZeroed                // data where a trim should have left zeros
)

// String returns the fault's word.
func (f Fault) String() string {
	return [...]string{"corrupted", "stale", "torn", "misdirected", "zeroed", "foreign", "not zeroed"}[f]
}

// Mismatch is a block that is not what it should be.
type Mismatch struct {
	Fault    Fault
	Offset   int64    // of the block in its target
	Length   int      // of the block
	First    int      // the first byte of the block that differs from what was expected; 0 when that is not known
	Expected Expected //
	Found    Header   // of a block whose header is whole, else zero
	HasFound bool
}

// Error says what was found where.
func (m *Mismatch) Error() string {
	s := fmt.Sprintf("the block at offset %d (%d bytes) is %s, from byte %d on", m.Offset, m.Length, m.Fault, m.First)
	if m.HasFound {
		s += fmt.Sprintf("; it says: offset %d, generation %d, write %d of worker %d", m.Found.Offset, m.Found.Generation, m.Found.Write, m.Found.Worker)
	}
	if m.Expected.State == Written && m.Expected.Generation > 0 {
		s += fmt.Sprintf("; generation %d was expected", m.Expected.Generation)
	}
	return s
}

// CheckBlock compares one block of verify_interval bytes with what it should hold. Where only its State is
// known to be Written (Generation 0), it is checked against its own header: that is how what an earlier run
// wrote is verified, and regions too large for a ledger of generations. It allocates only to report.
func (v *Verifier) CheckBlock(block []byte, offset int64, want Expected) *Mismatch {
	switch {
	case v.method == methodNull || want.State == Unknown:
		return nil
	case want.State == InFlight:
		return v.checkInFlight(block, offset, want)
	case want.State == Discarded:
		if v.anyTrimmed {
			return nil
		}
		if i := firstNonZero(block); i >= 0 {
			return &Mismatch{Fault: NotZeroed, Offset: offset, Length: len(block), First: i, Expected: want}
		}
		return nil
	case v.method == methodPattern:
		v.pattern.Fill(v.scratch, offset)
		if want.State == Perhaps || bytes.Equal(block, v.scratch) {
			return nil
		}
		m := &Mismatch{Fault: Corrupted, Offset: offset, Length: len(block), First: firstDifference(block, v.scratch), Expected: want}
		if firstNonZero(block) < 0 {
			m.Fault = Zeroed
		}
		return m
	}
	h, whole := v.header(block)
	if !whole && want.State == Perhaps {
		return nil
	}
	if v.anyGeneration {
		want.Generation = 0
	}
	if whole && v.mine(h) && h.Offset == offset && int(h.Length) == len(block) &&
		(want.Generation == 0 || h.Generation == want.Generation) && v.payloadMatches(block, offset) {
		return nil
	}
	return v.explain(block, offset, want, h, whole)
}

// checkInFlight checks a block of which it is not known whether its last write was done.
func (v *Verifier) checkInFlight(block []byte, offset int64, want Expected) *Mismatch {
	written := Expected{State: Written, Generation: want.Generation}
	if v.CheckBlock(block, offset, written) == nil || want.Trims && firstNonZero(block) < 0 {
		return nil
	}
	before := Expected{State: want.Before, Generation: want.BeforeGeneration}
	m := v.CheckBlock(block, offset, before)
	if m == nil && before.State != Unknown || m != nil && m.Fault == Zeroed && want.Trims {
		return nil
	}
	if v.partOf(block, offset, want.Generation) {
		m = &Mismatch{Fault: Torn, Offset: offset, Length: len(block), First: v.at, Expected: want}
		v.expected(block, offset, want.Generation, Header{}, false)
		m.First = max(firstDifference(block, v.scratch), 0)
	}
	return m
}

// partOf says whether a sector of a block was written by this job with the generation.
func (v *Verifier) partOf(block []byte, offset int64, generation uint8) bool {
	if v.pattern != nil || v.method == methodPattern {
		return false
	}
	v.payload(v.scratch, offset, generation, v.owner)
	copy(v.scratch[v.at:v.at+v.headerLength()], block[v.at:])
	for i := range v.sectors(block) {
		if bytes.Equal(v.cut(block, i), v.cut(v.scratch, i)) {
			return true
		}
	}
	return false
}

// mine says whether a block may be what this job wrote.
func (v *Verifier) mine(h Header) bool { return v.anyOwner || h.Owner == v.owner }

// payloadMatches says whether the payload is what the header's digest says, or the pattern.
func (v *Verifier) payloadMatches(block []byte, offset int64) bool {
	before, behind := v.around(block)
	switch v.method {
	case methodMeta:
		return true
	case methodPatternHeader:
		v.pattern.Fill(v.scratch, offset)
		wantBefore, wantBehind := v.around(v.scratch)
		return bytes.Equal(before, wantBefore) && bytes.Equal(behind, wantBehind)
	}
	return bytes.Equal(v.sum(before, behind), block[v.at+headerSize:v.at+v.headerLength()])
}

// explain finds out what is wrong with a block that is known to be wrong.
func (v *Verifier) explain(block []byte, offset int64, want Expected, h Header, whole bool) *Mismatch {
	m := &Mismatch{Offset: offset, Length: len(block), First: v.at, Expected: want, Found: h, HasFound: whole}
	generation := want.Generation
	if generation == 0 {
		generation = h.Generation
	}
	if generation != 0 || whole {
		v.expected(block, offset, generation, h, whole)
		m.First = max(firstDifference(block, v.scratch), 0)
	}
	switch {
	case firstNonZero(block) < 0:
		m.Fault = Zeroed
	case whole && !v.mine(h):
		if m.Fault = Foreign; !v.payloadMatches(block, offset) && v.compose(block, offset) == Torn {
			m.Fault = Torn // the head of another run's block, and the rest of ours
		}
	case whole && (h.Offset != offset || int(h.Length) != len(block)):
		m.Fault = Misdirected
	case whole && v.payloadMatches(block, offset):
		m.Fault = Stale // the generation is all that is left to differ
	default:
		m.Fault = v.compose(block, offset)
	}
	return m
}

// expected makes in scratch the block as it should be. Who wrote it in which write is taken from the block.
func (v *Verifier) expected(block []byte, offset int64, generation uint8, h Header, whole bool) {
	if !whole {
		b := block[v.at:]
		h.Worker, h.Write = b[7], binary.LittleEndian.Uint64(b[24:])
	}
	h.Generation, h.Offset, h.Length, h.Owner = generation, offset, uint32(len(block)), v.ownerOf(h, whole)
	v.make(v.scratch, h)
}

// ownerOf returns whose payload a block should have.
func (v *Verifier) ownerOf(h Header, whole bool) uint32 {
	if v.anyOwner && whole {
		return h.Owner
	}
	return v.owner
}

// Rebuild returns what the block of a mismatch should have held, as far as that is known: nil when it is
// not. The bytes are overwritten by the next call of any method.
func (v *Verifier) Rebuild(block []byte, m *Mismatch) []byte {
	generation := m.Expected.Generation
	if generation == 0 {
		generation = m.Found.Generation
	}
	switch {
	case m.Expected.State == Discarded:
		clear(v.scratch)
	case v.method == methodPattern:
		v.pattern.Fill(v.scratch, m.Offset)
	case generation != 0 || m.HasFound:
		v.expected(block, m.Offset, generation, m.Found, m.HasFound)
	default:
		return nil
	}
	return v.scratch
}

// compose tells a block made up of whole sectors of several writes, or of zeros, from one with wrong bytes.
// Every sector's stamp says what the sector should look like; where the header lies, the header does. A
// pattern is the same in every write, so that there is no telling.
func (v *Verifier) compose(block []byte, offset int64) Fault {
	known := make([]bool, v.sectors(block))
	zeroed, parts := 0, 0
	for i := range known {
		if firstNonZero(v.cut(block, i)) < 0 {
			known[i] = true
			zeroed++
		}
	}
	for i := range known {
		if known[i] || v.pattern != nil {
			continue
		}
		owner, generation, ok := stampOf(v.cut(block, i), offset+int64(i)*sector)
		if at := i * sector; v.at < at+stampSize && v.at+v.headerLength() > at {
			h := block[v.at:]
			owner, generation, ok = binary.LittleEndian.Uint32(h[20:]), h[6], true
		}
		if !ok {
			continue
		}
		v.payload(v.scratch, offset, generation, owner)
		copy(v.scratch[v.at:v.at+v.headerLength()], block[v.at:]) // the header was looked at already
		for k := i; k < len(known); k++ {
			known[k] = known[k] || bytes.Equal(v.cut(block, k), v.cut(v.scratch, k))
		}
		if known[i] {
			parts++
		}
	}
	switch {
	case slices.Contains(known, false):
		return Corrupted
	case parts > 1:
		return Torn
	case zeroed > 0:
		return Zeroed
	default:
		return Corrupted
	}
}

// sectors returns how many sectors a block has, the last one perhaps cut short.
func (v *Verifier) sectors(block []byte) int { return (len(block) + sector - 1) / sector }

// cut returns the i-th sector of a block.
func (v *Verifier) cut(block []byte, i int) []byte {
	return block[i*sector : min((i+1)*sector, len(block))]
}

// firstNonZero returns the index of the first byte that is not zero, -1 when all are.
func firstNonZero(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if binary.LittleEndian.Uint64(b[i:]) != 0 {
			break
		}
	}
	for ; i < len(b); i++ {
		if b[i] != 0 {
			return i
		}
	}
	return -1
}

// firstDifference returns the index of the first byte in which a and b, of equal length, differ, -1 when
// they are equal.
func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
