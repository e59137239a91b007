package main

import "strconv"

// comparison is one case: the same load put on one target by two tools.
type comparison struct {
	name   string
	target targetKind
	ours   []string // options of blkmeter beyond the common ones
	theirs []string // options of fio; nil: blkmeter is compared with itself, by the options in base
	base   []string
	free   bool   // more workers than one: not pinned to the one CPU
	goal   string // what is to be reached, in words
}

// common options of every run, in the words of both tools.
func common(path, runtime string) []string {
	return []string{"--name=bench", "--filename=" + path, "--rw=randread", "--bs=4k", "--direct=1", "--size=100%", "--time_based", "--runtime=" + runtime}
}

// best are the options with which fio is fastest and still measures everything.
func best(depth int) []string {
	return []string{
		"--ioengine=io_uring", "--iodepth=" + strconv.Itoa(depth), "--fixedbufs=1", "--registerfiles=1", "--norandommap", "--randrepeat=0",
		"--iodepth_batch_submit=16", "--iodepth_batch_complete_min=1", "--iodepth_batch_complete_max=16",
	}
}

// plain are the same without batches, which blkmeter makes as they come.
func plain(depth int) []string { return best(depth)[:6] }

func allCases() []comparison {
	null := []string{"--ioengine=null", "--iodepth=32", "--norandommap"}
	nullMap := null[:2]
	box := []string{"--ioengine=io_uring", "--iodepth=32"}
	aio := []string{"--ioengine=libaio", "--iodepth=32", "--norandommap", "--iodepth_batch_submit=16", "--iodepth_batch_complete_min=1", "--iodepth_batch_complete_max=16"}
	one := func(engine string) []string { return []string{"--ioengine=" + engine, "--iodepth=1", "--norandommap"} }
	many := []string{"--ioengine=psync", "--norandommap", "--numjobs=64", "--thread", "--group_reporting"}
	return []comparison{
		{name: "null QD32", target: noTarget, ours: null, theirs: null, goal: "<= 35 ns per I/O"},
		{name: "null QD32, random map", target: noTarget, ours: nullMap, theirs: nullMap, goal: "<= 50 ns per I/O"},
		{
			name: "null, 2 workers : 1", target: noTarget, ours: append([]string{"--numjobs=2", "--group_reporting"}, null...), base: null, free: true,
			goal: ">= 1.9 x one worker",
		},
		{name: "file uring QD32", target: unwrittenFile, ours: plain(32), theirs: best(32), goal: ">= 1.4 x fio's best flags, user <= 35 ns per I/O"},
		{
			name: "file uring, gtod_reduce", target: unwrittenFile, ours: plain(32), theirs: append(best(32), "--gtod_reduce=1"),
			goal: ">= 1.25 x a fio that measures no latency",
		},
		{name: "file uring as it comes", target: unwrittenFile, ours: box, theirs: box, goal: ">= 2.0 x fio with the same few flags"},
		{name: "file libaio QD32", target: unwrittenFile, ours: aio[:3], theirs: aio, goal: ">= 1.2 x fio"},
		{name: "loop uring QD32", target: loopDevice, ours: plain(32), theirs: best(32), goal: ">= 1.0 x fio, user <= 0.4 x fio"},
		{name: "loop uring QD128", target: loopDevice, ours: plain(128), theirs: best(128), goal: ">= 1.0 x fio, user <= 0.4 x fio"},
		{name: "loop uring QD1", target: loopDevice, ours: one("io_uring"), theirs: one("io_uring"), goal: "mean and p99 <= fio within noise"},
		{name: "loop libaio QD1", target: loopDevice, ours: one("libaio"), theirs: one("libaio"), goal: "mean and p99 <= fio within noise"},
		{name: "loop psync QD1", target: loopDevice, ours: one("psync"), theirs: one("psync"), goal: "mean and p99 <= fio within noise"},
		{name: "loop psync, 64 workers", target: loopDevice, ours: many, theirs: many, free: true, goal: "CPU per I/O <= fio"},
		{name: "zram psync QD1", target: zramDevice, ours: one("psync"), theirs: one("psync"), goal: ">= 1.05 x fio, CPU per I/O below fio's"},
	}
}
