package perf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sample is one hit of a tracepoint.
type Sample struct {
	ThreadID int32
	TimeNS   uint64   // of CLOCK_MONOTONIC, so that those of several CPUs can be put in order
	Stack    []uint64 // addresses in the kernel, the innermost first; empty for events recorded without
	Raw      []byte   // the event's fields, as its format file in tracefs lays them out
}

// Recorded is an event that a recorder takes down.
type Recorded struct {
	Event
	Stack bool // with the kernel's stack, which costs about a microsecond per hit
}

// Recorder takes down every hit of some events on one CPU, whichever process it happens in, into a ring of
// memory that the kernel fills (perf_event_open(2)). It is made stopped.
type Recorder struct {
	fds  []int
	ring []byte // a control page, then the data
}

// maxStack is how many addresses of a stack are kept: enough to get from a lock's slow path to its caller.
const maxStack = 16

// OpenRecorder makes a recorder with a ring of that many bytes, which must be a power of two of pages. It
// needs what [Open] needs and, without CAP_IPC_LOCK, memory that may be locked
// (kernel.perf_event_mlock_kb). It takes one file descriptor per event.
func OpenRecorder(cpu int, ringBytes int, events ...Recorded) (*Recorder, error) {
	r := &Recorder{}
	for _, e := range events {
		attr := unix.PerfEventAttr{
			Type: unix.PERF_TYPE_TRACEPOINT, Config: e.ID, Sample: 1, Sample_type: sampleLayout, Sample_max_stack: maxStack,
			Clockid: unix.CLOCK_MONOTONIC, Bits: unix.PerfBitDisabled | unix.PerfBitUseClockID | unix.PerfBitExcludeCallchainUser,
		}
		if !e.Stack {
			attr.Bits |= unix.PerfBitExcludeCallchainKernel
		}
		attr.Size = uint32(unsafe.Sizeof(attr))
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			return nil, errors.Join(e.unavailable(cpu, err), r.Close())
		}
		r.fds = append(r.fds, fd)
		if r.ring != nil {
			err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_OUTPUT, r.fds[0])
		} else {
			r.ring, err = unix.Mmap(fd, 0, os.Getpagesize()+ringBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		}
		if err != nil {
			return nil, errors.Join(&Unavailable{
				What: e.String(), State: Unknown, Why: fmt.Sprintf("there is no memory to record it in: %v", err), Err: err,
				Remedy: "run as root, or raise kernel.perf_event_mlock_kb",
			}, r.Close())
		}
	}
	return r, nil
}

// sampleLayout is what a record of a sample holds, in this order: thread, time, stack, raw fields.
const sampleLayout = unix.PERF_SAMPLE_TID | unix.PERF_SAMPLE_TIME | unix.PERF_SAMPLE_CALLCHAIN | unix.PERF_SAMPLE_RAW

// Enable starts recording.
func (r *Recorder) Enable() error { return r.all("PERF_EVENT_IOC_ENABLE", unix.PERF_EVENT_IOC_ENABLE) }

// Disable stops recording; what was recorded stays.
func (r *Recorder) Disable() error {
	return r.all("PERF_EVENT_IOC_DISABLE", unix.PERF_EVENT_IOC_DISABLE)
}

func (r *Recorder) all(name string, request int) error {
	for _, fd := range r.fds {
		c := Counter{fd: fd}
		if err := c.ioctl(name, uintptr(request), nil); err != nil {
			return err
		}
	}
	return nil
}

// Drain hands over what was recorded since it was last called, in the order in which the kernel wrote it, and
// how many hits found the ring full and are lost. Samples are valid only during the call of visit.
func (r *Recorder) Drain(visit func(Sample)) (lost uint64) {
	control := (*unix.PerfEventMmapPage)(unsafe.Pointer(unsafe.SliceData(r.ring)))
	data := r.ring[os.Getpagesize():]
	tail, head := control.Data_tail, atomic.LoadUint64(&control.Data_head)
	for tail < head {
		header := wrapped(data, tail, recordHeader)
		size := int(binary.NativeEndian.Uint16(header[6:]))
		if size < recordHeader || uint64(size) > head-tail {
			break // the kernel writes none such
		}
		kind := binary.NativeEndian.Uint32(header)
		switch body := wrapped(data, tail, size)[recordHeader:]; kind {
		case unix.PERF_RECORD_SAMPLE:
			if s, ok := parseSample(body); ok {
				visit(s)
			}
		case unix.PERF_RECORD_LOST:
			if len(body) >= 16 { // id, lost
				lost += binary.NativeEndian.Uint64(body[8:])
			}
		}
		tail += uint64(size)
	}
	atomic.StoreUint64(&control.Data_tail, head)
	return lost
}

// recordHeader is the size of struct perf_event_header: type, misc, size.
const recordHeader = 8

// wrapped returns the size bytes of the ring at position at: a copy where they wrap around its end.
func wrapped(ring []byte, at uint64, size int) []byte {
	from := int(at % uint64(len(ring)))
	if from+size <= len(ring) {
		return ring[from : from+size]
	}
	return slices.Concat(ring[from:], ring[:size-(len(ring)-from)])
}

// parseSample takes the body of a sample apart; false when it is shorter than it says.
func parseSample(b []byte) (Sample, bool) {
	if len(b) < 24 {
		return Sample{}, false
	}
	s := Sample{ThreadID: int32(binary.NativeEndian.Uint32(b[4:])), TimeNS: binary.NativeEndian.Uint64(b[8:])}
	frames := binary.NativeEndian.Uint64(b[16:])
	b = b[24:]
	if frames > uint64(len(b)/8) {
		return Sample{}, false
	}
	for i := range int(frames) {
		// The kernel marks where its part of a stack begins with addresses near the end (PERF_CONTEXT_*).
		if address := binary.NativeEndian.Uint64(b[8*i:]); address < contextMarks {
			s.Stack = append(s.Stack, address)
		}
	}
	b = b[8*frames:]
	if len(b) < 4 {
		return Sample{}, false
	}
	size := binary.NativeEndian.Uint32(b)
	if uint64(size) > uint64(len(b)-4) {
		return Sample{}, false
	}
	s.Raw = b[4 : 4+size]
	return s, true
}

// contextMarks is PERF_CONTEXT_MAX of linux/perf_event.h: addresses from here on are marks.
const contextMarks = ^uint64(4095) + 1

// Close frees the recorder. Closing twice is harmless.
func (r *Recorder) Close() error {
	var errs []error
	if r.ring != nil {
		errs = append(errs, unix.Munmap(r.ring))
	}
	for _, fd := range r.fds {
		errs = append(errs, unix.Close(fd))
	}
	r.ring, r.fds = nil, nil
	return errors.Join(errs...)
}
