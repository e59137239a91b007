package clock

const haveTSC = true

// readTSC reads the time stamp counter (Intel SDM, RDTSC). It is not serialising: a reading may move by the
// few nanoseconds of work around it, which is below what a latency of block I/O can show.
//
//go:noescape
func readTSC() uint64
