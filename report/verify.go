package report

import (
	"fmt"
	"slices"
)

// VerifyStats is what checking the data of a job found. Reading it back is no part of the job's figures.
type VerifyStats struct {
	Blocks     int64        `json:"blocks"` // checked, each of verify_interval bytes
	Bytes      int64        `json:"bytes"`
	Mismatched int64        `json:"mismatched"` // blocks that were not what they should be
	RuntimeNS  int64        `json:"runtime_ns"` // of reading back after the writes; of a job: the longest of its workers
	CPU        CPU          `json:"cpu_time"`   // over runtime_ns
	ReadBack   *ReadBack    `json:"read_back"`  // null when nothing was read only to be checked
	Faults     []FaultCount `json:"faults"`     // the mismatched blocks by what was wrong
	Mismatches []Mismatch   `json:"mismatches"` // the first of each worker
}

// ReadBack is what was read only to be checked, after the writes or between them (verify_backlog). Its runtime is
// the time that went into it.
type ReadBack struct {
	Read        DirStats      `json:"read"`
	Depth       []CountBucket `json:"depth"` // as those of Stats
	SubmitBatch []CountBucket `json:"submit_batch"`
	ReapBatch   []CountBucket `json:"reap_batch"`
}

// FaultCount counts the blocks with one fault: stale, torn, misdirected, zeroed, corrupted, foreign (of
// another job or run) or not zeroed (after a trim).
type FaultCount struct {
	Fault string `json:"fault"`
	Count int64  `json:"count"`
}

// Mismatch is a block that is not what it should be.
type Mismatch struct {
	Path        string   `json:"path"`
	OffsetBytes int64    `json:"offset_bytes"` // of the block in its target
	LengthBytes int64    `json:"length_bytes"` // of the block
	FirstByte   int64    `json:"first_byte"`   // of the block that differs; 0 when that is not known
	Fault       string   `json:"fault"`
	Sentence    string   `json:"sentence"`
	Dumped      []string `json:"dumped,omitempty"` // files that hold what was found and what was expected
}

// CountFault adds n blocks with a fault to the counts.
func CountFault(counts []FaultCount, fault string, n int64) []FaultCount {
	for i := range counts {
		if counts[i].Fault == fault {
			counts[i].Count += n
			return counts
		}
	}
	return append(counts, FaultCount{Fault: fault, Count: n})
}

// mergeVerify adds up what workers found.
func mergeVerify(parts []*VerifyStats) (*VerifyStats, error) {
	if len(parts) == 0 {
		return nil, nil
	}
	sum := &VerifyStats{Faults: []FaultCount{}, Mismatches: []Mismatch{}}
	var reads []*ReadBack
	var cpu []*CPU
	for _, p := range parts {
		sum.Blocks += p.Blocks
		sum.Bytes += p.Bytes
		sum.Mismatched += p.Mismatched
		sum.RuntimeNS = max(sum.RuntimeNS, p.RuntimeNS)
		for _, f := range p.Faults {
			sum.Faults = CountFault(sum.Faults, f.Fault, f.Count)
		}
		sum.Mismatches = slices.Concat(sum.Mismatches, p.Mismatches)
		cpu = append(cpu, &p.CPU)
		if p.ReadBack != nil {
			reads = append(reads, p.ReadBack)
		}
	}
	var err error
	if sum.ReadBack, err = mergeReadBack(reads); err != nil {
		return nil, fmt.Errorf("what was read back: %w", err)
	}
	var ios int64
	if sum.ReadBack != nil {
		ios = sum.ReadBack.Read.IOs
	}
	sum.CPU = mergeCPU(cpu, ios)
	return sum, nil
}

// mergeReadBack adds up what workers read only to check it.
func mergeReadBack(parts []*ReadBack) (*ReadBack, error) {
	if len(parts) == 0 {
		return nil, nil
	}
	var dirs []*DirStats
	for _, p := range parts {
		dirs = append(dirs, &p.Read)
	}
	all, err := mergeDirection(dirs)
	if err != nil {
		return nil, err
	}
	all.IOPSRate, all.BWRate = RateOf([]float64{all.IOPS}), RateOf([]float64{all.BW})
	return &ReadBack{
		Read:        *all,
		Depth:       mergeBuckets(parts, func(r *ReadBack) []CountBucket { return r.Depth }),
		SubmitBatch: mergeBuckets(parts, func(r *ReadBack) []CountBucket { return r.SubmitBatch }),
		ReapBatch:   mergeBuckets(parts, func(r *ReadBack) []CountBucket { return r.ReapBatch }),
	}, nil
}
