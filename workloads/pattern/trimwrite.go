package pattern

import "github.com/blkmeter/blkmeter/workloads"

// trimWriter puts behind each trim of another source the write of the same bytes, marked AfterPrevious.
type trimWriter struct {
	src     Source
	left    int64 // I/Os, trims and writes together
	pending IO    // the write that did not fit into the last batch
	waits   bool
}

// newTrimWriter pairs the trims of src. The bytes of the job are counted by src, once for both.
func newTrimWriter(src Source, j *workloads.Job) *trimWriter {
	ios, _ := limits(j, 0)
	return &trimWriter{src: src, left: ios}
}

func (t *trimWriter) Next(ios []IO) int {
	if t.left < int64(len(ios)) {
		ios = ios[:t.left]
	}
	n := t.fill(ios)
	if t.left != unlimited {
		t.left -= int64(n)
	}
	return n
}

func (t *trimWriter) fill(ios []IO) int {
	start := 0
	if t.waits && len(ios) > 0 {
		ios[0] = t.pending
		t.waits = false
		start = 1
	}
	rest := ios[start:]
	trims := t.src.Next(rest[:(len(rest)+1)/2])
	// From the back, since pairs take the places of trims not yet paired.
	for i := trims - 1; i >= 0; i-- {
		trim := rest[i]
		write := trim
		write.Op, write.Flags = OpWrite, trim.Flags|AfterPrevious
		trim.Flags = 0
		rest[2*i] = trim
		if 2*i+1 < len(rest) {
			rest[2*i+1] = write
		} else {
			t.pending, t.waits = write, true
		}
	}
	return start + min(2*trims, len(rest))
}
