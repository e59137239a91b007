package content

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"sync/atomic"

	"github.com/blkmeter/blkmeter/internal/fault"
)

// SavedState is what a later run needs to check the blocks that a job wrote: whose they are, how they are made
// up, and the ledger of every region. The ledgers' cells can lie in the file that keeps the state
// ([SavedState.Attach]): then the file is right at any moment, and stays so when the process is killed. What is
// busy in it was in flight at that time.
//
// A state file is a head and then, from the next multiple of 4096 bytes on, the cells of all regions, in
// words of the machine's byte order. The head's numbers are little-endian:
//
//	 0  "blkmetV" and the format's version
//	 8  seed
//	16  bytes of a block
//	24  bytes under one header
//	28  flags: 1 ended, 2 trims
//	32  regions
//	36  of a state that has ended: CRC-32C of all cells
//	40  method, padded with zeros
//	56  CRC-32C of bytes 0..55 and of the regions
//	60  zero
//	64  for each region: where it begins and ends, 8 bytes each
type SavedState struct {
	Kind          string // fio's word for the method
	IntervalBytes uint32
	BlockBytes    int64
	Seed          uint64
	Trims         bool     // the job trims
	Ended         bool     // nothing is in flight, and nothing will be written any more
	Regions       []Extent // in the order of the job's targets
	Ledgers       []*Ledger
}

// Extent is the bytes of a target from Low up to High.
type Extent struct{ Low, High int64 }

const (
	stateMagic  = "blkmetV\x02"
	stateHead   = 64
	stateAlign  = 4096 // the cells' place in the file can be mapped
	stateEnded  = 1
	stateTrims  = 2
	mostRegions = 1 << 16 // as many files as a job may have
)

// HeadBytes returns where the cells begin in the file.
func (s *SavedState) HeadBytes() int {
	return (stateHead + 16*len(s.Regions) + stateAlign - 1) / stateAlign * stateAlign
}

// Words returns how many words the cells of all regions take.
func (s *SavedState) Words() (int, error) {
	sum := 0
	for _, r := range s.Regions {
		l := Ledger{low: r.Low, high: r.High, block: s.BlockBytes}
		n, err := l.size()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Attach makes the ledgers of all regions over words, which are as many as [SavedState.Words] says, and zero for
// a job that has not begun.
func (s *SavedState) Attach(words []atomic.Uint32) error {
	s.Ledgers = nil
	for _, r := range s.Regions {
		l := &Ledger{low: r.Low, high: r.High, block: s.BlockBytes, trims: s.Trims}
		n, err := l.size()
		if err != nil {
			return err
		}
		l.words, words = words[:n:n], words[n:]
		s.Ledgers = append(s.Ledgers, l)
	}
	return nil
}

// Head returns the file's head. That of a state that has ended seals its cells.
func (s *SavedState) Head() []byte {
	b := make([]byte, s.HeadBytes())
	copy(b, stateMagic)
	binary.LittleEndian.PutUint64(b[8:], s.Seed)
	binary.LittleEndian.PutUint64(b[16:], uint64(s.BlockBytes))
	binary.LittleEndian.PutUint32(b[24:], s.IntervalBytes)
	flags := uint32(0)
	if s.Trims {
		flags |= stateTrims
	}
	if s.Ended {
		flags |= stateEnded
		binary.LittleEndian.PutUint32(b[36:], s.sum())
	}
	binary.LittleEndian.PutUint32(b[28:], flags)
	binary.LittleEndian.PutUint32(b[32:], uint32(len(s.Regions)))
	copy(b[40:56], s.Kind)
	for i, r := range s.Regions {
		binary.LittleEndian.PutUint64(b[stateHead+16*i:], uint64(r.Low))
		binary.LittleEndian.PutUint64(b[stateHead+16*i+8:], uint64(r.High))
	}
	binary.LittleEndian.PutUint32(b[56:], headSum(b, len(s.Regions)))
	return b
}

func headSum(b []byte, regions int) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(b[:56], t), t, b[stateHead:stateHead+16*regions])
}

// sum returns the checksum of all cells.
func (s *SavedState) sum() uint32 {
	t, sum := crc32.MakeTable(crc32.Castagnoli), uint32(0)
	var chunk [4096]byte
	for _, l := range s.Ledgers {
		n := 0
		for i := range l.words {
			binary.NativeEndian.PutUint32(chunk[n:], l.words[i].Load())
			if n += 4; n == len(chunk) || i == len(l.words)-1 {
				sum, n = crc32.Update(sum, t, chunk[:n]), 0
			}
		}
	}
	return sum
}

// ParseState reads a state file. It takes memory in proportion to data and no more.
func ParseState(data []byte) (*SavedState, error) {
	bad := func(why string) (*SavedState, error) {
		return nil, fault.New(fault.ExitUsage, "VERIFY_STATE", "run the writing job again, with verify_state_save=1", "the saved verify state cannot be used: %s", why)
	}
	if len(data) < stateHead || string(data[:len(stateMagic)]) != stateMagic {
		return bad("it is no state of this version of blkmeter")
	}
	regions := binary.LittleEndian.Uint32(data[32:])
	if regions == 0 || regions > mostRegions || len(data) < stateHead+16*int(regions) ||
		binary.LittleEndian.Uint32(data[56:]) != headSum(data, int(regions)) {
		return bad("its head is damaged")
	}
	flags := binary.LittleEndian.Uint32(data[28:])
	s := &SavedState{
		Kind: strings.TrimRight(string(data[40:56]), "\x00"), IntervalBytes: binary.LittleEndian.Uint32(data[24:]),
		BlockBytes: int64(binary.LittleEndian.Uint64(data[16:])), Seed: binary.LittleEndian.Uint64(data[8:]),
		Trims: flags&stateTrims != 0, Ended: flags&stateEnded != 0,
	}
	for i := range int(regions) {
		at := data[stateHead+16*i:]
		s.Regions = append(s.Regions, Extent{int64(binary.LittleEndian.Uint64(at)), int64(binary.LittleEndian.Uint64(at[8:]))})
	}
	n, err := s.Words()
	if err != nil || s.IntervalBytes == 0 {
		return bad("it describes no blocks")
	}
	if len(data) != s.HeadBytes()+4*n {
		return bad("its length is not that of its regions")
	}
	words := make([]atomic.Uint32, n)
	for i, cells := 0, data[s.HeadBytes():]; i < n; i++ {
		words[i].Store(binary.NativeEndian.Uint32(cells[4*i:]))
	}
	if err := s.Attach(words); err != nil {
		return bad("it describes no blocks")
	}
	if s.Ended && s.sum() != binary.LittleEndian.Uint32(data[36:]) {
		return bad("its checksum is wrong")
	}
	for _, l := range s.Ledgers {
		l.inherited = true
	}
	return s, nil
}

// IsState says whether data begins like a state file, of this or another version.
func IsState(data []byte) bool {
	return len(data) >= len(stateMagic) && string(data[:len(stateMagic)-1]) == stateMagic[:len(stateMagic)-1]
}
