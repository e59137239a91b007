package pattern

// syncer puts a sync behind every so many writes of another source, on the file of the last write. When
// both kinds are due it is the fsync that is done, since it does all that fdatasync would.
type syncer struct {
	src                        Source
	fsyncEvery, fdatasyncEvery int // writes; 0 never
	writes                     int // so far
	file                       uint16
	due                        bool // a write was yielded that a sync has to follow
}

func (s *syncer) Next(ios []IO) int {
	n := 0
	for n < len(ios) {
		if s.due {
			op := OpDatasync
			if s.fsyncEvery > 0 && s.writes%s.fsyncEvery == 0 {
				op = OpSync
			}
			copy(ios[n+1:], ios[n:]) // the directions that the caller asked for
			ios[n] = IO{File: s.file, Op: op}
			s.due = false
			n++
			continue
		}
		// No more than this many I/Os may pass before a sync could be due.
		want := min(len(ios)-n, s.until(s.fsyncEvery), s.until(s.fdatasyncEvery))
		got := s.src.Next(ios[n : n+want])
		for _, io := range ios[n : n+got] {
			if io.Op == OpWrite {
				s.writes++
				s.file = io.File
				s.due = true
			}
		}
		n += got
		s.due = s.due && (s.multiple(s.fsyncEvery) || s.multiple(s.fdatasyncEvery))
		if got < want {
			if s.due {
				continue
			}
			break
		}
	}
	return n
}

// until returns how many writes there are to the next sync of a kind that comes every n.
func (s *syncer) until(n int) int {
	if n == 0 {
		return unlimited
	}
	return n - s.writes%n
}

func (s *syncer) multiple(n int) bool { return n > 0 && s.writes%n == 0 }
