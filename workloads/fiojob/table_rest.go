package fiojob

import "strings"

func verifyOptions() []Option {
	count := func(field func(*draft) *uint64) integer {
		return integer{max: maxInt64, unit: "BLOCKS", set: func(d *draft, v int64) { *field(d) = uint64(v) }}
	}
	return []Option{
		{
			Name: "verify", Kind: enum{words: words(
				"0", "none=0", "md5", "crc64", "crc32", "crc32c", "crc32c-intel=crc32c", "crc16", "crc7", "sha1", "sha256", "sha512",
				"sha3-224", "sha3-256", "sha3-384", "sha3-512", "xxhash", "meta", "pattern", "pattern_hdr", "null",
			), suffix: "OFFSET", set: func(d *draft, w, _ string) error {
				d.Verify.Kind = w
				if w == "0" {
					d.Verify.Kind = ""
				}
				return nil
			}},
			Group: GroupVerify, Default: "0", Help: "how written blocks are checked when read back",
			Differs: "block headers are blkmeter's own: they tell stale, torn, misdirected and zeroed blocks apart",
		},
		{
			Name: "do_verify", Kind: boolean{set: func(d *draft, v bool) { d.Verify.Do = v }}, Group: GroupVerify, Default: "1",
			Help: "read back and check after the writes",
		},
		{
			Name: "verify_only", Kind: flag{set: func(d *draft, v bool) { d.Verify.Only = v }}, Group: GroupVerify,
			Help: "write nothing; check what an earlier run wrote",
		},
		{
			Name: "verify_fatal", Kind: boolean{set: func(d *draft, v bool) { d.Verify.Fatal = v }}, Group: GroupVerify, Default: "0",
			Help: "stop at the first mismatch",
		},
		{
			Name: "verify_dump", Kind: boolean{set: func(d *draft, v bool) { d.Verify.Dump = v }}, Group: GroupVerify, Default: "0",
			Help: "save the expected and the received block of a mismatch",
		},
		{
			Name: "verify_interval", Kind: integer{max: MaxBlockBytes, unit: "BYTES", set: func(d *draft, v int64) { d.Verify.IntervalBytes = v }},
			Group: GroupVerify, Help: "a header every so many bytes of a block",
		},
		{
			Name: "verify_offset", Kind: integer{max: MaxBlockBytes, unit: "BYTES", set: func(d *draft, v int64) { d.Verify.OffsetBytes = v }},
			Group: GroupVerify, Help: "where the header lies in its interval",
		},
		{
			Name: "verify_pattern", Kind: text{form: "PATTERN", set: func(d *draft, v string) error {
				d.Verify.Pattern = v
				if d.Verify.Kind == "" {
					d.Verify.Kind = "pattern"
				}
				return nil
			}},
			Group: GroupVerify, Help: "the data to write and expect",
		},
		{
			Name: "verify_pattern_interval", Kind: integer{max: MaxBlockBytes, unit: "BYTES"}, Group: GroupVerify, Default: "0",
			Help: "start the pattern again every so many bytes", Effect: Refused, Why: "the pattern starts again with each verify_interval",
		},
		{
			Name: "verify_backlog", Kind: count(func(d *draft) *uint64 { return &d.Verify.Backlog }), Group: GroupVerify,
			Help: "check after so many writes instead of at the end",
		},
		{
			Name: "verify_backlog_batch", Kind: count(func(d *draft) *uint64 { return &d.Verify.BacklogBatch }), Group: GroupVerify,
			Help: "check so many blocks at a time",
		},
		{
			Name: "verify_async", Kind: integer{max: 1024, set: func(d *draft, v int64) { d.Verify.Async = int(v) }}, Group: GroupVerify, Default: "0",
			Help: "threads that check what each worker reads; 0: the worker itself",
		},
		{
			Name: "verify_async_cpus", Kind: text{form: "LIST", set: func(d *draft, v string) (err error) { d.Verify.AsyncCPUs, err = parseCPUs(v); return err }}, Group: GroupVerify,
			Help: "CPUs of those threads",
		},
		{
			Name: "verify_state_save", Kind: boolean{set: func(d *draft, v bool) { d.Verify.StateSave = v }}, Group: GroupVerify, Default: "0",
			Help:    "keep what was written in local-JOB-N-verify.state, in the working directory or --aux-path, so that a later run can check it",
			Differs: "off unless asked for; the file is blkmeter's own, one for all clones of a job, and also right when the process was killed",
		},
		{
			Name: "verify_state_load", Kind: boolean{set: func(d *draft, v bool) { d.Verify.StateLoad = v }}, Group: GroupVerify, Default: "0",
			Help:    "check what the saved state says was written; for read jobs and verify_only",
			Differs: "what was in flight when the writing run was cut may be old or new, but not torn; a job that writes is refused",
		},
		{
			Name: "verify_header_seed", Kind: boolean{set: func(d *draft, v bool) { d.Verify.HeaderSeed = v }}, Group: GroupVerify, Default: "1",
			Help: "check the seed in a block's header",
		},
		{
			Name: "verify_write_sequence", Kind: boolean{set: func(d *draft, v bool) { d.Verify.WriteSequence = v }}, Group: GroupVerify, Default: "1",
			Help: "check the write number in a block's header",
		},
		{
			Name: "verify_policy", Kind: enum{words: words("completed", "fsynced")},
			Group: GroupVerify, Default: "completed", Help: "check writes that completed, or only those that a sync made durable",
			Effect: Refused, Why: "every write that completed is checked",
		},
		{
			Name: "experimental_verify", Kind: boolean{}, Group: GroupVerify, Default: "0", Help: "replay the writes' random numbers to check them",
			Effect: Ignored, Why: "blkmeter needs no list of writes in memory in any case",
		},
		{
			Name: "trim_percentage", Kind: integer{max: 100, unit: "PERCENT", set: func(d *draft, v int64) { d.Verify.TrimPercent = int(v) }}, Group: GroupVerify, Default: "0",
			Help:    "share of written blocks that is trimmed before the check; needs verify and trim_backlog",
			Differs: "fio 3.33 aborts on it unless rw= trims itself",
		},
		{
			Name: "trim_verify_zero", Kind: boolean{set: func(d *draft, v bool) { d.Verify.TrimVerifyZero = v }}, Group: GroupVerify, Default: "1",
			Help: "trimmed blocks must read as zeros",
		},
		{
			Name: "trim_backlog", Kind: count(func(d *draft) *uint64 { return &d.Verify.TrimBacklog }), Group: GroupVerify, Help: "trim after so many writes",
		},
		{
			Name: "trim_backlog_batch", Kind: count(func(d *draft) *uint64 { return &d.Verify.TrimBatch }), Group: GroupVerify, Help: "trim so many blocks at a time; 0: trim_backlog",
		},
	}
}

func zoneOptions() []Option {
	size := func(field func(*draft) *int64) integer {
		return integer{max: maxInt64, unit: "BYTES", set: func(d *draft, v int64) { *field(d) = v }}
	}
	zoned := func(name string, k Kind, fallback, help string) Option {
		return Option{
			Name: name, Kind: k, Group: GroupZones, Default: fallback, Help: help,
			Effect: Refused, Why: "blkmeter does not drive zoned devices (zonemode=zbd)",
		}
	}
	return []Option{
		{
			Name: "zonemode", Kind: enum{words: words("none", "strided", "zbd"), set: func(d *draft, w, _ string) error { d.Zones.Mode = w; return nil }},
			Group: GroupZones, Default: "none", Help: "do I/O in zones with gaps between them, from offset to the end of the target, for as much as size says",
			Differs: "zbd, for zoned devices, is not supported",
		},
		{
			Name: "zonesize", Kind: size(func(d *draft) *int64 { return &d.Zones.SizeBytes }), Group: GroupZones, Default: "0", Help: "data to transfer per zone",
		},
		{
			Name: "zonerange", Kind: size(func(d *draft) *int64 { return &d.Zones.RangeBytes }), Group: GroupZones, Default: "0", Help: "size of a zone; when it is less than zonesize, it is gone through more than once",
		},
		{
			Name: "zoneskip", Kind: size(func(d *draft) *int64 { return &d.Zones.SkipBytes }), Group: GroupZones, Default: "0", Help: "gap after a zone",
		},
		zoned("zonecapacity", integer{max: maxInt64, unit: "BYTES"}, "0", "usable part of a zone"),
		zoned("max_open_zones", integer{max: 4096}, "0", "most zones open for writing"),
		zoned("job_max_open_zones", integer{max: 4096}, "0", "the same per job"),
		zoned("ignore_zone_limits", boolean{}, "0", "go beyond the device's limit of open zones"),
		zoned("read_beyond_wp", boolean{}, "0", "read behind a zone's write pointer"),
		zoned("zone_reset_threshold", floats{limit: 1, high: 1}, "", "written share at which zones are reset"),
		zoned("zone_reset_frequency", floats{limit: 1, high: 1}, "", "how often zones are reset"),
		zoned("recover_zbd_write_error", boolean{}, "0", "go on after a failed zone write"),
		zoned("write_zone_remainder", boolean{}, "0", "fill a zone's last part with a smaller block"),
	}
}

func replayOptions() []Option {
	return []Option{
		{
			Name: "read_iolog", Kind: text{form: "FILE[:FILE...]", set: func(d *draft, v string) error { d.Replay.Logs = splitNames(v); return nil }},
			Group: GroupReplay, Help: "replay the I/O of a log (version 2 or 3); clones take several logs in turn",
			Differs: "I/Os keep their times when the device is late, and response says by how much; trims and replay_skip work; loops and time_based repeat the log; " +
				"files are opened before the run; a wrong line, and an I/O beyond the target's end, is an error before the first I/O",
		},
		{
			Name: "write_iolog", Kind: text{form: "FILE", set: func(d *draft, v string) error { d.RecordTo = v; return nil }},
			Group: GroupReplay, Help: "record the job's I/O in a log (version 3), with the times that they were meant for",
			Differs: "a log that exists is replaced; several workers write FILE.1, FILE.2 and so on instead of mixing their lines; a replay can be recorded, too",
		},
		{
			Name: "read_iolog_chunked", Kind: boolean{}, Group: GroupReplay, Default: "0",
			Help:   "read the log while replaying it",
			Effect: Ignored, Why: "a log is read line by line before the run in any case, and 32 bytes are kept of each I/O",
		},
		{
			Name: "replay_no_stall", Kind: boolean{set: func(d *draft, v bool) { d.Replay.NoStall = v }}, Group: GroupReplay, Default: "0",
			Help: "replay as fast as the depth allows instead of at the recorded times",
		},
		{
			Name: "replay_redirect", Kind: text{form: "PATH", set: func(d *draft, v string) error { d.Replay.Redirect = v; return nil }},
			Group: GroupReplay, Help: "replay everything on this target",
		},
		{
			Name: "replay_scale", Kind: integer{min: 1, max: maxInt, set: func(d *draft, v int64) { d.Replay.Scale = v }}, Group: GroupReplay, Default: "1",
			Help: "divide recorded offsets by this",
		},
		{
			Name: "replay_align", Kind: integer{max: MaxBlockBytes, unit: "BYTES", set: func(d *draft, v int64) { d.Replay.AlignBytes = v }}, Group: GroupReplay,
			Help: "round recorded offsets down to a multiple of this power of two",
		},
		{
			Name: "replay_time_scale", Kind: integer{min: 1, max: maxInt, unit: "PERCENT", set: func(d *draft, v int64) { d.Replay.TimePercent = v }},
			Group: GroupReplay, Default: "100", Help: "replay at this share of the recorded speed: 200 halves the times",
			Differs: "it holds for the waits of version 2, too",
		},
		{
			Name: "replay_skip", Kind: text{form: "KIND[,KIND...]", set: setReplaySkip}, Group: GroupReplay,
			Help:    "leave out read, write, trim or sync",
			Differs: "fio does so for traces of blktrace only",
		},
		{
			Name: "merge_blktrace_file", Kind: text{form: "FILE"}, Group: GroupReplay, Help: "merge several traces into this file",
			Effect: Refused, Why: "blkmeter replays logs of fio's version 2 and 3 only",
		},
		{
			Name: "merge_blktrace_scalars", Kind: floats{limit: 20, high: 1e9}, Group: GroupReplay, Help: "speed of each merged trace",
			Effect: Refused, Why: "blkmeter replays logs of fio's version 2 and 3 only",
		},
		{
			Name: "merge_blktrace_iters", Kind: floats{limit: 20, high: 1e9}, Group: GroupReplay, Help: "rounds of each merged trace",
			Effect: Refused, Why: "blkmeter replays logs of fio's version 2 and 3 only",
		},
	}
}

// foreignOptions are the options of engines that blkmeter does not have. They are known so that a job with
// such an engine is told that the engine is missing, and not that it has a typo.
func foreignOptions() []Option {
	table := []struct{ engine, options string }{
		{"cpuio", "cpuload cpuchunks cpumode exit_on_io_done"},
		{"net, rdma", "hostname port protocol/proto nodelay listen/f pingpong/f interface ttl window_size mss bindname verb"},
		{"rbd, rados", "clustername rbdname pool clientname busy_poll touch_objects conf"},
		{"http", "https http_host http_user http_pass http_s3_key http_s3_keyid http_s3_region http_s3_sse_customer_key " +
			"http_s3_sse_customer_algorithm http_s3_storage_class http_s3_security_token http_swift_auth_token http_mode http_verbose http_object_mode"},
		{"libhdfs, dfs", "namenode chunk_size single_instance hdfs_use_direct cont object_class svcl"},
		{"gfapi", "volume brick single-instance"},
		{"librpma", "serverip direct_write_to_pmem busy_wait_polling"},
		{"sg", "sg_write_mode stream_id"},
		{"nbd", "uri"},
		{"nfs", "nfs_url"},
		{"libiscsi", "initiator"},
		{"mtd", "skip_bad"},
		{"e4defrag", "donorname inplace"},
		{"exec", "program arguments grace_time std_redirect"},
		{"libcufile, rdma", "gpu_dev_ids gpu_dev_id cuda_io"},
		{"fileoperations", "stat_type"},
		{"xnvme", "xnvme_async xnvme_sync xnvme_admin xnvme_mem xnvme_be xnvme_dev_nsid xnvme_dev_subnqn xnvme_iovec"},
		{"libblkio", "libblkio_driver libblkio_path libblkio_pre_connect_props libblkio_num_entries libblkio_queue_size " +
			"libblkio_pre_start_props libblkio_vectored libblkio_write_zeroes_on_trim libblkio_wait_mode libblkio_force_enable_completion_eventfd"},
		{"spdk", "spdk_json_conf spdk_conf spdk_mem spdk_single_seg mem_size_mb shm_id mem_mb enable_sgl initial_zone_reset zone_append log_flags " +
			"env_context json_conf spdk_rpc_listen_addr"},
	}
	var list []Option
	for _, row := range table {
		for entry := range strings.FieldsSeq(row.options) {
			name, alias, _ := strings.Cut(entry, "/")
			o := Option{
				Name: name, Kind: foreignKind{flag: alias == "f"}, Group: GroupForeign, Engine: row.engine, Help: "an option of " + row.engine,
				Effect: Refused, Why: "it belongs to the engine " + row.engine + ", which blkmeter does not have",
			}
			if alias != "" && alias != "f" {
				o.Aliases = []string{alias}
			}
			list = append(list, o)
		}
	}
	return list
}

// foreignKind takes any value: nothing is known of it, and it leads nowhere.
type foreignKind struct{ flag bool }

func (foreignKind) Syntax() string                       { return "VALUE" }
func (foreignKind) Words() []Word                        { return nil }
func (k foreignKind) alone() (string, bool)              { return "", k.flag }
func (foreignKind) parse(*draft, string) (string, error) { return "", nil }
