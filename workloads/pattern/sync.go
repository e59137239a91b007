package pattern

import "math"

// syncer puts a sync behind every so many writes of another source, on the file of the last write. When
// several kinds are due it is the fsync that is done, since it does all that fdatasync would, and fdatasync
// before sync_file_range.
type syncer struct {
	src                                    Source
	fsyncEvery, fdatasyncEvery, rangeEvery int // writes; 0 never
	writes                                 int // so far
	file                                   uint16
	due                                    bool  // a write was yielded that a sync has to follow
	low, high                              int64 // what was written to file since its last sync_file_range; high 0: nothing
}

func (s *syncer) Next(ios []IO) int {
	n := 0
	for n < len(ios) {
		if s.due {
			copy(ios[n+1:], ios[n:]) // the directions that the caller asked for
			ios[n] = s.sync()
			s.due = false
			n++
			continue
		}
		// No more than this many I/Os may pass before a sync could be due.
		want := min(len(ios)-n, s.until(s.fsyncEvery), s.until(s.fdatasyncEvery), s.until(s.rangeEvery))
		got := s.src.Next(ios[n : n+want])
		for i := range ios[n : n+got] {
			if io := &ios[n+i]; io.Op == OpWrite {
				s.wrote(io)
			}
		}
		n += got
		s.due = s.due && (s.multiple(s.fsyncEvery) || s.multiple(s.fdatasyncEvery) || s.multiple(s.rangeEvery))
		if got < want {
			if s.due {
				continue
			}
			break
		}
	}
	return n
}

// wrote notes a write.
func (s *syncer) wrote(io *IO) {
	if s.file != io.File || s.high == 0 {
		s.low, s.high = io.Offset, 0
	}
	s.writes++
	s.file = io.File
	s.due = true
	s.low, s.high = min(s.low, io.Offset), max(s.high, io.Offset+int64(io.Length))
}

// sync returns the sync that is due.
func (s *syncer) sync() IO {
	switch {
	case s.multiple(s.fsyncEvery):
		return IO{File: s.file, Op: OpSync}
	case s.multiple(s.fdatasyncEvery):
		return IO{File: s.file, Op: OpDatasync}
	}
	io := IO{File: s.file, Op: OpSyncRange, Offset: s.low}
	if length := s.high - s.low; length <= math.MaxInt32 {
		io.Length = uint32(length)
	}
	s.high = 0
	return io
}

// until returns how many writes there are to the next sync of a kind that comes every n.
func (s *syncer) until(n int) int {
	if n == 0 {
		return unlimited
	}
	return n - s.writes%n
}

func (s *syncer) multiple(n int) bool { return n > 0 && s.writes%n == 0 }
