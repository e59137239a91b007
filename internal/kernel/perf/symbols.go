package perf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Symbols names the kernel's functions by their addresses.
type Symbols struct {
	addresses []uint64 // ascending
	names     []string
	machinery [][2]uint64 // sections that hold nothing but locks and the scheduler: from, up to
}

// ReadSymbols reads the kernel's table of symbols, /proc/kallsyms. Without the permission to see addresses
// (kernel.kptr_restrict) it is an [*Unavailable] error.
func ReadSymbols() (*Symbols, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil, &Unavailable{What: "/proc/kallsyms", State: Absent, Why: "this kernel was built without a table of its symbols", Err: err}
	}
	defer f.Close()
	s, err := ParseSymbols(f)
	if err != nil {
		return nil, &Unavailable{
			What: "/proc/kallsyms", State: Forbidden, Why: err.Error(), Err: err,
			Remedy: "run as root, and if that is not enough with sysctl kernel.kptr_restrict=1",
		}
	}
	return s, nil
}

// errNoAddresses is the error of a table in which the kernel has hidden all addresses.
var errNoAddresses = errors.New("the kernel hides the addresses of its symbols from this process")

// ParseSymbols reads a table like /proc/kallsyms: address, type and name per line, and the module in brackets.
// Only code counts; lines of another form are left out.
func ParseSymbols(r io.Reader) (*Symbols, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's symbols: %w", err)
	}
	type symbol struct {
		address uint64
		name    string
	}
	var all []symbol
	edges := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.Contains("tTwW", f[1]) {
			continue
		}
		address, err := strconv.ParseUint(f[0], 16, 64)
		if err != nil || address == 0 {
			continue
		}
		if strings.HasSuffix(f[2], "_text_start") || strings.HasSuffix(f[2], "_text_end") {
			edges[f[2]] = address
			continue // a mark of the linker, not a function
		}
		all = append(all, symbol{address, f[2]})
	}
	if len(all) == 0 {
		return nil, errNoAddresses
	}
	slices.SortStableFunc(all, func(a, b symbol) int {
		switch {
		case a.address < b.address:
			return -1
		case a.address > b.address:
			return 1
		}
		return 0
	})
	s := &Symbols{}
	for _, sym := range all {
		s.addresses, s.names = append(s.addresses, sym.address), append(s.names, sym.name)
	}
	for _, section := range []string{"__lock_text", "__sched_text"} {
		if from, to := edges[section+"_start"], edges[section+"_end"]; from < to && from > 0 {
			s.machinery = append(s.machinery, [2]uint64{from, to})
		}
	}
	return s, nil
}

// Name returns the function that an address is in, without what compilers append to names (".isra.0",
// ".cold"); empty for an address below all.
func (s *Symbols) Name(address uint64) string {
	i := sort.Search(len(s.addresses), func(i int) bool { return s.addresses[i] > address })
	if i == 0 {
		return ""
	}
	name, _, _ := strings.Cut(s.names[i-1], ".")
	return name
}

// Caller returns the function that asked for a lock: the innermost of the stack that is not part of the locks
// themselves, of tracing, or of the scheduler. Empty when there is none.
func (s *Symbols) Caller(stack []uint64) string {
	for _, address := range stack {
		if slices.ContainsFunc(s.machinery, func(m [2]uint64) bool { return m[0] <= address && address < m[1] }) {
			continue
		}
		if name := s.Name(address); name != "" && !isLock(name) {
			return name
		}
	}
	return ""
}

// isLock says whether a function is a part of the kernel's locks outside their sections: slow paths, wrappers
// and what the tracepoints call.
func isLock(name string) bool {
	bare := strings.TrimLeft(name, "_")
	for _, prefix := range []string{
		"trace_contention", "traceiter_contention", "perf_trace", "perf_tp_event", "bpf_trace",
		"raw_spin", "raw_read", "raw_write", "spin_lock", "do_raw_spin", "pv_queued_spin", "native_queued_spin", "queued_spin", "queued_read", "queued_write", "virt_spin",
		"mutex_", "ww_mutex", "osq_", "rwsem_", "down", "percpu_down", "percpu_rwsem", "rt_mutex", "rt_spin", "rtlock", "rt_read", "rt_write",
	} {
		if strings.HasPrefix(bare, prefix) {
			return true
		}
	}
	return false
}
