package fiojob

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

func engineOptions() []Option {
	const (
		aio  = "libaio, io_uring"
		ring = "io_uring, io_uring_cmd"
	)
	return []Option{
		{
			Name: "ioengine", Kind: engineKind{}, Group: GroupEngine, Default: "psync",
			Help:    "how I/O reaches the kernel",
			Differs: "auto, the default of blkmeter run without a job file, takes the best that kernel and target allow",
		},
		{
			Name: "iodepth", Kind: integer{min: 1, max: 32768, set: func(d *draft, v int64) { d.IODepth = int(v) }}, Group: GroupEngine, Default: "1",
			Help: "I/Os to keep in flight per clone", Differs: "at most 32768",
		},
		{
			Name: "iodepth_batch", Aliases: []string{"iodepth_batch_submit"}, Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.BatchSubmit, d.BatchSubmitSet = int(v), true }},
			Group: GroupEngine, Default: "1", Help: "I/Os per submission; 0: iodepth",
			Differs: "when it is not given, whatever is ready is submitted together",
		},
		{
			Name: "iodepth_batch_complete_min", Aliases: []string{"iodepth_batch_complete"}, Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.BatchCompleteMin, d.BatchCompleteSet = int(v), true }},
			Group: GroupEngine, Default: "1", Help: "completions to wait for at a time; 0: poll",
		},
		{
			Name: "iodepth_batch_complete_max", Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.BatchCompleteMax, d.BatchCompleteSet = int(v), true }},
			Group: GroupEngine, Help: "most completions to take at a time",
			Differs: "when it is not given, all that are there are taken",
		},
		{
			Name: "iodepth_low", Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.IODepthLow = int(v) }}, Group: GroupEngine,
			Help: "let the queue drain to this depth before filling it again",
		},
		{
			Name: "io_submit_mode", Kind: enum{words: words("inline", "offload"), set: func(d *draft, w, _ string) error { d.Offload = w == "offload"; return nil }},
			Group: GroupEngine, Default: "inline", Help: "submit I/Os from the worker, or from a pool of iodepth threads for each clone",
			Differs: "each thread has a queue of depth 1 of any engine; paced jobs keep their intended times with either",
		},
		{
			Name: "serialize_overlap", Kind: boolean{set: func(d *draft, v bool) { d.SerializeOverlap = v }}, Group: GroupEngine, Default: "0",
			Help:    "never have two I/Os of a worker in flight that overlap",
			Differs: "jobs with verify always keep theirs apart",
		},
		{
			Name: "hipri", Kind: flag{set: func(d *draft, v bool) { d.HiPri = v }}, Group: GroupEngine, Engine: ring + ", pvsync2",
			Help: "poll for completions instead of waiting for interrupts",
		},
		{
			Name: "hipri_percentage", Kind: integer{max: 100, unit: "PERCENT"}, Group: GroupEngine, Engine: "pvsync2", Default: "100",
			Help: "share of I/Os that hipri applies to", Effect: Ignored, Why: "Linux ignores RWF_HIPRI of preadv2 and pwritev2, so none of them is polled for",
		},
		{
			Name: "fixedbufs", Kind: flag{set: func(d *draft, v bool) { d.FixedBufs = v }}, Group: GroupEngine, Engine: ring,
			Help: "register the I/O buffers with the kernel",
		},
		{
			Name: "registerfiles", Kind: flag{set: func(d *draft, v bool) { d.RegisterFiles = v }}, Group: GroupEngine, Engine: ring,
			Help: "register the targets' descriptors with the kernel",
		},
		{
			Name: "sqthread_poll", Kind: flag{set: func(d *draft, v bool) { d.SQThreadPoll = v }}, Group: GroupEngine, Engine: ring,
			Help: "let a kernel thread submit; implies registerfiles",
		},
		{
			Name: "sqthread_poll_cpu", Kind: integer{max: 8191, set: func(d *draft, v int64) { d.SQThreadPollCPU = int(v) }}, Group: GroupEngine, Engine: ring,
			Help: "the CPU of that kernel thread",
		},
		{
			Name: "nonvectored", Kind: integer{min: -1, max: 1}, Group: GroupEngine, Engine: ring, Default: "-1",
			Help: "use requests without a vector", Effect: Ignored, Why: "blkmeter's requests never have a vector",
		},
		{
			Name: "force_async", Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.ForceAsync = int(v) }}, Group: GroupEngine, Engine: ring, Default: "0",
			Help: "hand every Nth request to a kernel worker thread",
		},
		{
			Name: "nowait", Kind: boolean{set: func(d *draft, v bool) { d.NoWait = v }}, Group: GroupEngine, Default: "0",
			Engine: aio + ", pvsync2", Help: "fail an I/O that would have to wait (RWF_NOWAIT)",
		},
		{
			Name: "uncached", Kind: boolean{set: func(d *draft, v bool) { d.Uncached = v }}, Group: GroupEngine, Default: "0",
			Engine: "io_uring, pvsync2", Help: "buffered I/O leaves nothing in the page cache (RWF_DONTCACHE)",
			Differs: "libaio and the other synchronous engines take it, too",
		},
		{
			Name: "userspace_reap", Kind: flag{}, Group: GroupEngine, Engine: "libaio", Help: "reap completions from the ring in memory",
			Effect: Ignored, Why: "blkmeter looks at the ring first in any case",
		},
		{
			Name: "libaio_vectored", Kind: boolean{}, Group: GroupEngine, Engine: "libaio", Default: "0", Help: "use requests with a vector of one",
			Effect: Ignored, Why: "a vector of one moves the same data",
		},
		{
			Name: "cmdprio_percentage", Kind: cmdPrio(0, 100, "PERCENT", func(p *requestPriority) *int { return &p.percent }),
			Group: GroupEngine, Default: "0", Engine: aio, Help: "share of reads and of writes with a priority other than the job's",
		},
		{
			Name: "cmdprio_class", Kind: cmdPrio(workloads.ClassRealTime, workloads.ClassIdle, "N", func(p *requestPriority) *int { return &p.class }),
			Group: GroupEngine, Engine: aio, Help: "class of that priority: 1 real time, which it is when not given, 2 best effort, 3 idle",
		},
		{
			Name: "cmdprio", Kind: cmdPrio(0, maxLevel, "N", func(p *requestPriority) *int { return &p.level }),
			Group: GroupEngine, Engine: aio, Help: "level of that priority, 0 the highest",
		},
		{
			Name: "cmdprio_hint", Kind: cmdPrio(0, maxHint, "N", func(p *requestPriority) *int { return &p.hint }),
			Group: GroupEngine, Engine: aio, Help: "hint of that priority, such as a command duration limit (1 to 7)",
		},
		{
			Name: "cmdprio_bssplit", Kind: text{form: "BYTES/PCT[/CLASS/LEVEL[/HINT]][:...][,...]", set: setPrioritySplit},
			Group: GroupEngine, Engine: aio, Help: "that share by block size, each with a priority of its own if given; for reads and writes",
		},
		{
			Name: "thp", Kind: boolean{}, Group: GroupEngine, Engine: "mmap", Default: "0", Help: "map with huge pages",
			Effect: Ignored, Why: "mmap runs on pread and pwrite here, which map nothing",
		},
		{
			Name: "queue", Own: true, Kind: enum{words: words("multi", "single"), set: func(d *draft, w, _ string) error { d.SharedQueue = w == "single"; return nil }},
			Group: GroupEngine, Default: "multi", Help: "a queue per worker, or one queue for all workers behind one lock",
		},
		{
			Name: "queue_lock", Aliases: []string{"queue-lock"}, Own: true, Kind: enum{
				words: words("mutex", "futex", "pi", "sysv", "ttas", "ticket", "mcs"),
				set:   func(d *draft, w, _ string) error { d.QueueLock = w; return nil },
			},
			Group: GroupEngine, Default: "mutex", Help: "the lock of queue=single",
		},
		{
			Name: "queue_variant", Aliases: []string{"queue-variant"}, Own: true, Kind: enum{
				words: words("u1", "u2", "u2c", "u3"),
				set:   func(d *draft, w, _ string) error { d.QueueVariant = w; return nil },
			},
			Group: GroupEngine, Default: "u2c",
			Help: "what that lock is held for: filling the ring (u1), the system call too (u2), completions too (u2c), and hold_ns more (u3)",
		},
		{
			Name: "hold_ns", Aliases: []string{"hold-ns"}, Own: true, Kind: integer{max: 1e6, unit: "NS", set: func(d *draft, v int64) { d.HoldNS = v }},
			Group: GroupEngine, Default: "0", Help: "with queue_variant=u3: hold the lock this much longer for each request (mq-deadline 700, BFQ 1900)",
		},
	}
}

// engineKind takes the name of an I/O engine.
type engineKind struct{}

func (engineKind) Syntax() string        { return "NAME" }
func (engineKind) alone() (string, bool) { return "", false }

func (engineKind) Words() []Word {
	var list []Word
	for _, e := range engines {
		if e.Runs != "" {
			list = append(list, Word{Name: e.Name, Help: e.Note})
		}
	}
	return list
}

func (engineKind) parse(d *draft, value string) (string, error) {
	name, _, _ := strings.Cut(strings.TrimSpace(value), ":")
	if _, ok := EngineNamed(name); !ok {
		var names []string
		for _, e := range engines {
			names = append(names, e.Name)
		}
		if near := nearest(name, names); near != "" {
			return "", fmt.Errorf("engine %q is not known; did you mean %q?", value, near)
		}
		return "", fmt.Errorf("engine %q is not known; blkmeter probe lists those that run here", value)
	}
	d.Engine = name
	return "", nil
}

// Engine is one of the names that ioengine takes.
type Engine struct {
	Name string
	Runs string // blkmeter's engine that runs it: auto, psync, libaio, io_uring or null; empty: not supported
	Sync bool   // one I/O at a time: iodepth is 1
	Note string // what a user should know when Runs differs from Name
}

var engines = [...]Engine{
	{Name: "auto", Runs: "auto", Note: "the best that the kernel and the target allow"},
	{Name: "io_uring", Runs: "io_uring"},
	{Name: "io_uring_cmd", Runs: "io_uring_cmd"},
	{Name: "libaio", Runs: "libaio"},
	{Name: "psync", Runs: "psync", Sync: true},
	{Name: "sync", Runs: "psync", Sync: true},
	{Name: "pvsync", Runs: "psync", Sync: true},
	{Name: "pvsync2", Runs: "psync", Sync: true},
	{Name: "vsync", Runs: "psync", Sync: true, Note: "fio gathers neighbouring I/Os into one vector; here each is a call of its own"},
	{Name: "mmap", Runs: "psync", Sync: true, Note: "it runs on pread and pwrite: there are no page faults to measure"},
	{Name: "posixaio", Runs: "io_uring", Note: "it runs on io_uring instead of the threads of the C library"},
	{Name: "null", Runs: "null"},
	{Name: "cpuio"},
	{Name: "net"},
	{Name: "netsplice"},
	{Name: "splice"},
	{Name: "sg"},
	{Name: "ftruncate"},
	{Name: "filecreate"},
	{Name: "filestat"},
	{Name: "filedelete"},
	{Name: "fileoperations"},
	{Name: "dircreate"},
	{Name: "dirstat"},
	{Name: "dirdelete"},
	{Name: "exec"},
	{Name: "falloc"},
	{Name: "e4defrag"},
	{Name: "gfapi"},
	{Name: "gfapi_async"},
	{Name: "mtd"},
	{Name: "nbd"},
	{Name: "rdma"},
	{Name: "rados"},
	{Name: "rbd"},
	{Name: "pmemblk"},
	{Name: "dev-dax"},
	{Name: "libpmem"},
	{Name: "librpma_apm_client"},
	{Name: "librpma_apm_server"},
	{Name: "librpma_gpspm_client"},
	{Name: "librpma_gpspm_server"},
	{Name: "http"},
	{Name: "ime_psync"},
	{Name: "ime_psyncv"},
	{Name: "ime_aio"},
	{Name: "libhdfs"},
	{Name: "libiscsi"},
	{Name: "libcufile"},
	{Name: "libzbc"},
	{Name: "dfs"},
	{Name: "nfs"},
	{Name: "xnvme"},
	{Name: "libblkio"},
	{Name: "guasi"},
	{Name: "solarisaio"},
	{Name: "windowsaio"},
	{Name: "external"},
	{Name: "spdk"},
	{Name: "spdk_bdev"},
	{Name: "spdk_nvme"},
	{Name: "cpp_null"},
}

// EngineNamed finds an engine by the name that ioengine takes. A path is an external engine.
func EngineNamed(name string) (Engine, bool) {
	if strings.ContainsRune(name, '/') {
		name = "external"
	}
	for _, e := range engines {
		if e.Name == name {
			return e, true
		}
	}
	return Engine{}, false
}

func cpuOptions() []Option {
	return []Option{
		{
			Name: "cpus_allowed", Kind: text{form: "LIST", set: func(d *draft, v string) (err error) { d.CPUsAllowed, err = parseCPUs(v); return err }},
			Group: GroupCPU, Help: "CPUs that the job's workers may run on, as in 0-3,8",
		},
		{
			Name: "cpus_allowed_policy", Kind: enum{words: words("shared", "split"), set: func(d *draft, w, _ string) error { d.CPUsAllowedPolicy = w; return nil }},
			Group: GroupCPU, Default: "shared", Help: "every clone may use all of them, or each has one of its own",
		},
		{
			Name: "cpumask", Kind: integer{max: maxInt64, unit: "MASK", set: func(d *draft, v int64) {
				d.CPUsAllowed = nil
				for cpu := range 63 {
					if v>>cpu&1 == 1 {
						d.CPUsAllowed = append(d.CPUsAllowed, cpu)
					}
				}
			}},
			Group: GroupCPU, Help: "the same as a bit mask",
		},
		{
			Name: "placement", Own: true, Kind: enum{words: words("queues", "compact", "spread", "local", "remote", "none"), set: func(d *draft, w, _ string) error { d.Placement = w; return nil }},
			Group: GroupCPU, Default: "queues", Help: "spread workers over hardware queues first, over CPUs in order, or do not pin them",
		},
		{
			Name: "numa_cpu_nodes", Kind: text{form: "LIST", set: setNodes},
			Group: GroupCPU, Help: "NUMA nodes whose CPUs the workers may run on",
		},
		{
			Name: "numa_mem_policy", Kind: text{form: "POLICY[:LIST]", set: setMemoryPolicy},
			Group: GroupCPU, Help: "the NUMA nodes of the I/O buffers: default, local, prefer:NODE, bind:NODES or interleave:NODES",
			Differs: "it is about the I/O buffers alone",
		},
		{
			Name: "nice", Kind: integer{min: -20, max: 19, set: func(d *draft, v int64) { d.Nice = int(v) }}, Group: GroupCPU, Default: "0",
			Help: "scheduling priority of the workers",
		},
		{
			Name: "prio", Kind: integer{max: 7, set: func(d *draft, v int64) {
				d.Prio = int(v)
				if d.PrioClass == 0 {
					d.PrioClass = 2 // best effort
				}
			}}, Group: GroupCPU,
			Help: "I/O priority of the workers, 0 the highest",
		},
		{
			Name: "prioclass", Kind: integer{max: 3, set: func(d *draft, v int64) { d.PrioClass = int(v) }}, Group: GroupCPU,
			Help: "I/O priority class: 1 real time, 2 best effort, 3 idle",
		},
		{
			Name: "priohint", Kind: integer{max: maxHint, set: func(d *draft, v int64) { d.PrioHint = int(v) }}, Group: GroupCPU,
			Help: "I/O priority hint of the workers, such as a command duration limit (1 to 7)",
		},
		{
			Name: "comm", Kind: text{form: "NAME"}, Group: GroupCPU, Help: "name of the worker's process",
			Effect: Ignored, Why: "workers are threads of one process",
		},
		{
			Name: "lockmem", Kind: integer{max: maxInt64, unit: "BYTES", set: func(d *draft, v int64) { d.LockMemBytes = v }}, Group: GroupCPU, Default: "0",
			Help:    "memory that each worker locks while it runs, so that less is left for the page cache",
			Differs: "more than the system can spare is an error; fio takes all but 128 MiB",
		},
		{
			Name: "mem", Aliases: []string{"iomem"}, Kind: enum{
				words:  words("malloc", "shm", "shmhuge", "mmap", "mmaphuge", "mmapshared", "cudamalloc"),
				suffix: "FILE", set: func(d *draft, w, s string) error {
					d.Buffers.Mem = w
					if s != "" {
						d.Buffers.Mem += ":" + s
					}
					return nil
				},
			},
			Group: GroupCPU, Default: "malloc", Help: "where the I/O buffers come from",
			Differs: "buffers are always mapped; the huge kinds ask for huge pages",
		},
		{
			Name: "iomem_align", Aliases: []string{"mem_align"}, Kind: integer{max: 1 << 30, unit: "BYTES", set: func(d *draft, v int64) { d.Buffers.OffsetBytes = int(v) }},
			Group: GroupCPU, Default: "0", Help: "offset of the first I/O buffer from the start of a page; the others follow it",
			Differs: "an offset that direct I/O to the target does not take is an error before the first I/O",
		},
		{
			Name: "hugepage-size", Kind: integer{min: 4096, max: 1 << 40, unit: "BYTES", set: func(d *draft, v int64) { d.Buffers.HugePageBytes = int(v) }},
			Group: GroupCPU, Help: "with mem=mmaphuge or shmhuge: reserved huge pages of this size, and no others",
			Differs: "without it any huge pages will do, transparent ones too",
		},
		{
			Name: "ioscheduler", Kind: text{form: "NAME", set: func(d *draft, v string) error { d.IOScheduler = v; return nil }},
			Group: GroupCPU, Help: "switch the device under the targets to this I/O scheduler", Differs: "the old one is back when the job's stage is over",
		},
		{
			Name: "cgroup", Kind: text{form: "NAME"}, Group: GroupCPU, Help: "run the job in this control group",
			Effect: Refused, Why: "blkmeter's workers share one process; start blkmeter in the group",
		},
		{
			Name: "cgroup_weight", Kind: integer{min: 100, max: 1000}, Group: GroupCPU, Help: "weight of that group",
			Effect: Refused, Why: "blkmeter does not manage control groups: make the group and start blkmeter in it",
		},
		{
			Name: "cgroup_nodelete", Kind: boolean{}, Group: GroupCPU, Default: "0", Help: "keep that group",
			Effect: Refused, Why: "blkmeter does not manage control groups: make the group and start blkmeter in it",
		},
		{
			Name: "uid", Kind: integer{max: maxInt}, Group: GroupCPU, Help: "run the job as this user",
			Effect: Refused, Why: "blkmeter's workers share one process; start blkmeter as that user",
		},
		{
			Name: "gid", Kind: integer{max: maxInt}, Group: GroupCPU, Help: "run the job as this group",
			Effect: Refused, Why: "blkmeter's workers share one process; start blkmeter as that group",
		},
		{
			Name: "exec_prerun", Kind: text{form: "COMMAND", set: func(d *draft, v string) error { d.ExecPrerun = v; return nil }},
			Group: GroupCPU, Help: "run a shell command before the job, what it prints in JOBNAME.prerun.txt",
			Differs: "it runs once for all clones of a job; when it fails the job fails, too, and does not count as done",
		},
		{
			Name: "exec_postrun", Kind: text{form: "COMMAND", set: func(d *draft, v string) error { d.ExecPostrun = v; return nil }},
			Group: GroupCPU, Help: "run a shell command after the job, what it prints in JOBNAME.postrun.txt",
			Differs: "it runs once for all clones of a job",
		},
	}
}

// setNodes reads the NUMA nodes of numa_cpu_nodes, whose grammar is that of CPUs.
func setNodes(d *draft, v string) (err error) {
	if v != "all" {
		d.NUMACPUNodes, err = parseCPUs(v)
	}
	return err
}

// setMemoryPolicy reads numa_mem_policy.
func setMemoryPolicy(d *draft, v string) error {
	policy, list, listed := strings.Cut(v, ":")
	m := workloads.NUMAMemory{Policy: policy}
	switch policy {
	case "default", "local":
		if listed {
			return fmt.Errorf("%s takes no nodes", policy)
		}
	case "prefer", "bind", "interleave":
		if list == "all" && policy != "prefer" {
			m.All = true
			break
		}
		var err error
		if m.Nodes, err = parseCPUs(list); err != nil {
			return fmt.Errorf("%q is no list of nodes, as in 0-1,3", list)
		}
		if policy == "prefer" && len(m.Nodes) > 1 {
			return errors.New("prefer takes one node")
		}
	default:
		return fmt.Errorf("%q is none of default, local, prefer, bind, interleave", policy)
	}
	d.NUMAMemory = m
	return nil
}

const maxCPUs = 8192

// parseCPUs reads a list of CPUs such as 0-3,8.
func parseCPUs(v string) ([]int, error) {
	var cpus []int
	var seen [maxCPUs]bool
	for part := range strings.SplitSeq(v, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.ParseUint(first, 10, 32)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 32)
		}
		if err != nil || b < a {
			return nil, fmt.Errorf("%q is not a CPU or a range of CPUs", part)
		}
		if b >= maxCPUs {
			return nil, fmt.Errorf("CPU %d is above %d", b, maxCPUs-1)
		}
		for cpu := a; cpu <= b; cpu++ {
			if !seen[cpu] {
				seen[cpu] = true
				cpus = append(cpus, int(cpu))
			}
		}
	}
	return cpus, nil
}

func bufferOptions() []Option {
	return []Option{
		{
			Name: "refill_buffers", Kind: flag{set: func(d *draft, v bool) { d.Buffers.Refill = v }}, Group: GroupBuffer,
			Help: "fill the buffer anew for every write",
		},
		{
			Name: "zero_buffers", Kind: flag{set: func(d *draft, v bool) { d.Buffers.Zero = v }}, Group: GroupBuffer, Help: "write zeros",
		},
		{
			Name: "scramble_buffers", Kind: boolean{set: func(d *draft, v bool) { d.Buffers.Scramble = v }}, Group: GroupBuffer, Default: "1",
			Help: "change a buffer a little for every write, against deduplication",
		},
		{
			Name: "buffer_pattern", Kind: text{form: "PATTERN", set: func(d *draft, v string) error { d.Buffers.Pattern = v; return nil }}, Group: GroupBuffer,
			Help: `fill buffers with a pattern: numbers, "strings" and 'files'`,
		},
		{
			Name: "buffer_compress_percentage", Kind: integer{max: 100, unit: "PERCENT", set: func(d *draft, v int64) { d.Buffers.CompressPercent = int(v) }},
			Group: GroupBuffer, Help: "how far the data can be compressed",
		},
		{
			Name: "buffer_compress_chunk", Kind: integer{min: 1, max: MaxBlockBytes, unit: "BYTES", set: func(d *draft, v int64) { d.Buffers.CompressChunk = int(v) }},
			Group: GroupBuffer, Default: "512", Help: "in chunks of this size",
		},
		{
			Name: "dedupe_percentage", Kind: integer{max: 100, unit: "PERCENT", set: func(d *draft, v int64) { d.Buffers.DedupePercent = int(v) }},
			Group: GroupBuffer, Help: "share of written blocks that repeat an earlier one",
		},
		{
			Name: "dedupe_mode", Kind: enum{words: words("repeat", "working_set"), set: func(d *draft, w, _ string) error { d.Buffers.DedupeSet = w == "working_set"; return nil }},
			Group: GroupBuffer, Default: "repeat", Help: "whether repeats are of blocks written lately, or of a fixed set of blocks",
		},
		{
			Name: "dedupe_working_set_percentage", Kind: integer{max: 100, unit: "PERCENT", set: func(d *draft, v int64) { d.Buffers.DedupeSetShare = int(v) }},
			Group: GroupBuffer, Default: "5", Help: "size of the set of dedupe_mode=working_set, as a share of the region's blocks",
		},
		{
			Name: "dedupe_global", Kind: boolean{set: func(d *draft, v bool) { d.Buffers.DedupeGlobal = v }}, Group: GroupBuffer, Default: "0",
			Help: "have that set in common with all jobs that say so",
		},
	}
}

func fileOptions() []Option {
	return []Option{
		{
			Name: "create_on_open", Kind: boolean{set: func(d *draft, v bool) { d.Layout.CreateOnOpen = v }}, Group: GroupFiles, Default: "0",
			Help: "make a file, empty, when I/O first goes to it; making it is part of the run",
		},
		{
			Name: "create_only", Kind: boolean{set: func(d *draft, v bool) { d.Layout.CreateOnly = v }}, Group: GroupFiles, Default: "0",
			Help: "make the files and stop",
		},
		{
			Name: "create_serialize", Kind: boolean{}, Group: GroupFiles, Default: "1", Help: "make files one after the other",
			Effect: Ignored, Why: "files are always made one after the other, before the run",
		},
		{
			Name: "create_fsync", Kind: boolean{set: func(d *draft, v bool) { d.Layout.CreateFsync = v }}, Group: GroupFiles, Default: "1",
			Help: "fsync a file after laying it out",
		},
		{
			Name: "fallocate", Kind: enum{
				words: words("none", "0=none", "native", "posix", "1=posix", "keep", "truncate"),
				set:   func(d *draft, w, _ string) error { d.Layout.Fallocate = w; return nil },
			},
			Group: GroupFiles, Default: "native", Help: "how space for a file is reserved",
			Differs: "keep is the same as native: a file has its size from the start",
		},
		{
			Name: "overwrite", Kind: boolean{set: func(d *draft, v bool) { d.Layout.Overwrite = v }}, Group: GroupFiles, Default: "0",
			Help: "write a new file out fully before the job writes to it",
		},
		{
			Name: "unlink", Kind: boolean{set: func(d *draft, v bool) { d.Layout.Unlink = v }}, Group: GroupFiles, Default: "0",
			Help: "remove files that the run made", Differs: "files that existed before are kept",
		},
		{
			Name: "unlink_each_loop", Kind: boolean{set: func(d *draft, v bool) { d.Layout.UnlinkEachLoop = v }}, Group: GroupFiles, Default: "0",
			Help:    "remove them after each of several loops; the next one makes them again, empty, as it writes to them",
			Differs: "files that existed before are kept; files that a job would read in its next loop are not removed: that is an error before the first I/O",
		},
		{
			Name: "invalidate", Kind: boolean{set: func(d *draft, v bool) { d.Layout.Invalidate = v }}, Group: GroupFiles, Default: "1",
			Help: "drop the target's pages from the page cache before the job",
		},
		{
			Name: "pre_read", Kind: boolean{set: func(d *draft, v bool) { d.Layout.PreRead = v }}, Group: GroupFiles, Default: "0",
			Help: "read the files once before the job",
		},
		{
			Name: "fadvise_hint", Kind: enum{
				words: words("0", "1", "random", "sequential", "noreuse"),
				set:   func(d *draft, w, _ string) error { d.Layout.FadviseHint = w; return nil },
			},
			Group: GroupFiles, Default: "1", Help: "tell the kernel the access pattern of buffered I/O",
		},
		{
			Name: "fill_device", Aliases: []string{"fill_fs"}, Kind: boolean{set: func(d *draft, v bool) { d.Layout.FillDevice = v }}, Group: GroupFiles, Default: "0",
			Help: "write until nothing is left (ENOSPC), when no size is given", Differs: "for jobs that write only",
		},
		{
			Name: "file_append", Kind: boolean{set: func(d *draft, v bool) { d.Layout.Append = v }}, Group: GroupFiles, Default: "0",
			Help: "write behind the end of a file that exists; devices are not affected", Differs: "for jobs that write only: fio makes the file larger for a reader, too",
		},
		{
			Name: "lockfile", Kind: enum{
				words: words("none", "exclusive", "readwrite"),
				set:   func(d *draft, w, _ string) error { d.Layout.LockFile = w; return nil },
			},
			Group: GroupFiles, Default: "none",
			Help: "let one worker at a time do I/O to a file, or several readers or one writer; waiting for that is no part of latencies",
		},
	}
}

func statsOptions() []Option {
	logFile := func(field func(*draft) *workloads.LogFile) logKind { return logKind{field: field} }
	msec := func(field func(*draft) *time.Duration) integer {
		return integer{max: maxInt, unit: "MSEC", set: func(d *draft, v int64) { *field(d) = time.Duration(v) * time.Millisecond }}
	}
	return []Option{
		{
			Name: "write_bw_log", Kind: logFile(func(d *draft) *workloads.LogFile { return &d.Logs.BW }), Group: GroupStats, Help: "write a log of bandwidth",
		},
		{
			Name: "write_iops_log", Kind: logFile(func(d *draft) *workloads.LogFile { return &d.Logs.IOPS }), Group: GroupStats, Help: "write a log of IOPS",
		},
		{
			Name: "write_lat_log", Kind: logFile(func(d *draft) *workloads.LogFile { return &d.Logs.Lat }), Group: GroupStats, Help: "write logs of latencies",
		},
		{
			Name: "write_hist_log", Kind: logFile(func(d *draft) *workloads.LogFile { return &d.Logs.Hist }), Group: GroupStats, Help: "write a log of latency histograms",
		},
		{
			Name: "log_avg_msec", Kind: msec(func(d *draft) *time.Duration { return &d.Logs.Average }), Group: GroupStats, Default: "0",
			Help: "average logs over this time; 0: a line per I/O",
		},
		{
			Name: "log_hist_msec", Kind: msec(func(d *draft) *time.Duration { return &d.Logs.HistEvery }), Group: GroupStats, Default: "0",
			Help: "time between two histograms of write_hist_log",
		},
		{
			Name: "log_hist_coarseness", Kind: integer{max: 6, set: func(d *draft, v int64) { d.Logs.HistCoarseness = int(v) }}, Group: GroupStats, Default: "0",
			Help: "merge 2^N bins of those histograms",
		},
		{
			Name: "log_window_value", Aliases: []string{"log_max_value"}, Kind: enum{
				words: words("avg", "0=avg", "max", "1=max", "both"),
				set:   func(d *draft, w, _ string) error { d.Logs.Window = w; return nil },
			},
			Group: GroupStats, Default: "avg", Help: "what stands for a time of log_avg_msec",
		},
		{
			Name: "log_offset", Kind: boolean{set: func(d *draft, v bool) { d.Logs.Offset = v }}, Group: GroupStats, Default: "0", Help: "log the offset of each I/O",
		},
		{
			Name: "log_prio", Kind: boolean{set: func(d *draft, v bool) { d.Logs.Prio = v }}, Group: GroupStats, Default: "0", Help: "log the priority of each I/O",
		},
		{
			Name: "log_issue_time", Kind: boolean{set: func(d *draft, v bool) { d.Logs.IssueTime = v }}, Group: GroupStats, Default: "0", Help: "log when each I/O was issued",
		},
		{
			Name: "per_job_logs", Kind: boolean{set: func(d *draft, v bool) { d.Logs.PerJob = v }}, Group: GroupStats, Default: "1", Help: "a log per job, with the job's number in its name",
		},
		{
			Name: "log_alternate_epoch", Aliases: []string{"log_unix_epoch"}, Kind: boolean{set: func(d *draft, v bool) { d.Logs.AlternateEpoch = v }},
			Group: GroupStats, Default: "0", Help: "log the time of a clock instead of the time since the start",
		},
		{
			Name: "log_alternate_epoch_clock_id", Kind: integer{max: 16, set: func(d *draft, v int64) { d.Logs.EpochClock = int(v) }},
			Group: GroupStats, Default: "0", Help: "that clock's number (clock_gettime); 0: time since 1970",
		},
		{
			Name: "log_entries", Kind: integer{min: 1024, max: 1 << 20}, Group: GroupStats, Default: "1024", Help: "lines to keep room for in memory",
			Effect: Ignored, Why: "logs grow as they need to",
		},
		{
			Name: "log_compression", Kind: integer{max: 1 << 29, unit: "BYTES"}, Group: GroupStats, Help: "compress logs in memory",
			Effect: Ignored, Why: "it changes fio's use of memory, not the logs",
		},
		{
			Name: "log_compression_cpus", Kind: text{form: "LIST"}, Group: GroupStats, Help: "CPUs that compress",
			Effect: Ignored, Why: "it changes fio's use of CPUs, not the logs",
		},
		{
			Name: "log_store_compressed", Kind: boolean{set: func(d *draft, v bool) { d.Logs.StoreCompressed = v }}, Group: GroupStats, Default: "0",
			Help: "write logs compressed", Differs: "the file is the text through gzip, PREFIX_bw.1.log.gz",
		},
		{
			Name: "clat_percentiles", Kind: boolean{set: func(d *draft, v bool) { d.Stats.ClatPercentiles = v }}, Group: GroupStats, Default: "1", Help: "report percentiles of clat",
		},
		{
			Name: "lat_percentiles", Kind: boolean{set: func(d *draft, v bool) { d.Stats.LatPercentiles = v }}, Group: GroupStats, Default: "0", Help: "report percentiles of lat",
		},
		{
			Name: "slat_percentiles", Kind: boolean{set: func(d *draft, v bool) { d.Stats.SlatPercentiles = v }}, Group: GroupStats, Default: "0", Help: "report percentiles of slat",
		},
		{
			Name: "percentile_list", Kind: floats{limit: 20, low: 1e-9, high: 100, set: func(d *draft, v []float64) { d.Stats.Percentiles = v }}, Group: GroupStats,
			Default: "1:5:10:20:30:40:50:60:70:80:90:95:99:99.5:99.9:99.95:99.99", Help: "which percentiles to report",
		},
		{
			Name: "significant_figures", Kind: integer{min: 1, max: 10, set: func(d *draft, v int64) { d.Stats.SignificantDigits = int(v) }}, Group: GroupStats, Default: "4",
			Help: "digits of numbers in normal output",
		},
		{
			Name: "disable_lat", Kind: boolean{set: func(d *draft, v bool) { d.Stats.DisableLat = v }}, Group: GroupStats, Default: "0",
			Help: "do not report lat", Differs: "the Result itself has it in any case",
		},
		{
			Name: "disable_clat", Kind: boolean{set: func(d *draft, v bool) { d.Stats.DisableClat = v }}, Group: GroupStats, Default: "0",
			Help: "do not report clat", Differs: "the Result itself has it in any case",
		},
		{
			Name: "disable_slat", Kind: boolean{set: func(d *draft, v bool) { d.Stats.DisableSlat = v }}, Group: GroupStats, Default: "0",
			Help: "do not report slat", Differs: "the Result itself has it in any case",
		},
		{
			Name: "disable_bw_measurement", Aliases: []string{"disable_bw"}, Kind: boolean{}, Group: GroupStats, Default: "0",
			Help: "sample bandwidth less", Effect: Ignored, Why: "sampling costs nothing per I/O; fio reports the samples in any case, too",
		},
		{
			Name: "gtod_reduce", Kind: boolean{set: func(d *draft, v bool) {
				d.Stats.DisableLat, d.Stats.DisableClat, d.Stats.DisableSlat = v, v, v
				if v {
					d.Stats.ClatPercentiles, d.Stats.LatPercentiles, d.Stats.SlatPercentiles = false, false, false
				}
			}},
			Group: GroupStats, Default: "0", Help: "report no latencies",
			Differs: "the clock is read once per batch in any case, and the Result itself has the latencies",
		},
		{
			Name: "bwavgtime", Kind: integer{max: maxInt, unit: "MSEC"}, Group: GroupStats, Default: "500", Help: "time of a bandwidth sample",
			Effect: Ignored, Why: "samples are taken every 500 ms; log_avg_msec gives others",
		},
		{
			Name: "iopsavgtime", Kind: integer{max: maxInt, unit: "MSEC"}, Group: GroupStats, Default: "500", Help: "time of an IOPS sample",
			Effect: Ignored, Why: "samples are taken every 500 ms; log_avg_msec gives others",
		},
		{
			Name: "kb_base", Kind: enum{words: words("1024", "1000"), set: func(d *draft, w, _ string) error {
				d.kbBase = 1024
				if w == "1000" {
					d.kbBase = 1000
				}
				d.Stats.KBBase = d.kbBase
				return nil
			}},
			Group: GroupStats, Default: "1024", Help: "what k, m and g are powers of, in the options after it; in a section of a file, in all of it",
		},
		{
			Name: "unit_base", Kind: enum{words: words("0", "8", "1"), set: func(d *draft, w, _ string) error { d.Stats.UnitBase = int(w[0] - '0'); return nil }},
			Group: GroupStats, Default: "0", Help: "report bandwidth in bytes (8) or bits (1)",
		},
		{
			Name: "stats", Kind: boolean{set: func(d *draft, v bool) { d.Stats.Off = !v }}, Group: GroupStats, Default: "1",
			Help: "report the job", Differs: "0 leaves it out of fio's formats; the Result itself and the text have it",
		},
		{
			Name: "disk_util", Kind: boolean{set: func(d *draft, v bool) { d.Stats.DiskUtil = v }}, Group: GroupStats, Default: "1", Help: "report the kernel's counters of the device",
		},
		{
			Name: "block_error_percentiles", Kind: boolean{}, Group: GroupStats, Default: "0", Help: "report which blocks fail after how many writes and trims",
			Effect: Refused, Why: "blkmeter keeps no history per block",
		},
	}
}

// logKind takes the prefix of a log's file name; without one the job's name is used.
type logKind struct {
	field func(*draft) *workloads.LogFile
}

func (logKind) Syntax() string        { return "PREFIX" }
func (logKind) Words() []Word         { return nil }
func (logKind) alone() (string, bool) { return "", true }

func (k logKind) parse(d *draft, value string) (string, error) {
	*k.field(d) = workloads.LogFile{Want: true, Prefix: value}
	return "", nil
}
