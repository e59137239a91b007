package run

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/explain"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// explainTime is how long a stage of the explain pass runs at most.
const explainTime = time.Second

// explain repeats each stage while tracepoints count what the block layer does with its requests. The
// figures of the run are closed by then: counting costs time, and what fails here fails nothing.
func (c *conductor) explain(ctx context.Context) {
	c.result.Explain = &report.Explain{Stages: []report.ExplainStage{}, Missing: []report.Missing{}}
	out := c.result.Explain
	for _, jobs := range c.stages() {
		if ctx.Err() != nil || c.result.Error != nil {
			out.Missing = append(out.Missing, report.Missing{What: "the explain pass", Why: "the run ended early"})
			break
		}
		c.say("explaining " + jobs[0].spec.Name)
		counts, stage, err := c.explainStage(ctx, jobs)
		if err != nil {
			out.Missing = append(out.Missing, report.Missing{What: "the explain pass of " + jobs[0].spec.Name, Why: err.Error()})
			continue
		}
		for _, m := range counts.Missing {
			if !slices.Contains(out.Missing, m) {
				out.Missing = append(out.Missing, m)
			}
		}
		out.Stages = append(out.Stages, explain.Explain(counts, stage))
	}
	for _, w := range explain.Warnings(out) {
		c.warn(w.Code, w.Sentence, w.Hint)
	}
}

// explainStage runs the jobs of a stage again, with workers and a Result of their own that are thrown away.
func (c *conductor) explainStage(ctx context.Context, jobs []*jobRun) (explain.Counts, explain.Stage, error) {
	again := &conductor{
		o: c.o, clock: c.clock, topo: c.topo, result: &report.Result{}, targets: c.targets, filled: c.filled, asked: c.asked, scratch: c.scratch, flows: map[int]*flow{},
	}
	again.o.Progress, again.o.Ask = nil, nil
	for _, j := range jobs {
		spec := *j.spec
		spec.SteadyState.Duration = 0
		spec.ExecPrerun, spec.ExecPostrun = "", ""
		spec.RampTime, spec.RampBytes, spec.StartDelay.Min, spec.StartDelay.Max = 0, 0, 0, 0
		if search := j.workers[0].search; search != nil {
			spec.LatencyTarget, spec.IODepth = workloads.LatencyTarget{}, search.depth
		}
		if spec.Runtime == 0 || spec.Runtime > explainTime {
			spec.Runtime = explainTime
		}
		copied := &jobRun{spec: &spec, stop: new(atomic.Bool), index: j.index, first: j.first, stage: j.stage, group: j.group, choice: j.choice, seed: j.seed, ignored: j.ignored, replays: j.replays}
		for i, w := range j.workers {
			copied.workers = append(copied.workers, &worker{clock: again.clock, job: copied, index: i, stop: copied.stop, targets: w.targets, place: w.place})
		}
		if err := again.assignAll(ctx, copied); err != nil {
			return explain.Counts{}, explain.Stage{}, err
		}
		again.jobs = append(again.jobs, copied)
	}
	session := explain.Open(c.o.Root, c.disksOf(jobs)...)
	defer session.Close()
	s := &stageRun{conductor: again, jobs: again.jobs, number: 1, stages: 1, session: session}
	s.run(ctx)
	if e := again.result.Error; e != nil {
		return explain.Counts{}, explain.Stage{}, &fault.Error{Code: e.Code, Sentence: e.Sentence}
	}
	return s.counts, s.explained(), nil
}

// disksOf lists the disks that the jobs' I/O goes to, each once.
func (c *conductor) disksOf(jobs []*jobRun) []device.Facts {
	var disks []device.Facts
	for _, j := range jobs {
		for _, w := range j.workers {
			for _, name := range diskNames(w) {
				if slices.ContainsFunc(disks, func(d device.Facts) bool { return d.Name == name }) {
					continue
				}
				if facts, err := device.DescribeName(c.o.Root, name); err == nil {
					disks = append(disks, facts)
				}
			}
		}
	}
	return disks
}

// diskNames lists the disks under a worker's targets.
func diskNames(w *worker) []string {
	var names []string
	for _, t := range w.targets {
		if disk := t.Facts().Disk; disk != "" && !slices.Contains(names, disk) {
			names = append(names, disk)
		}
	}
	return names
}

// explained says what the workers of a stage that has ended did, as far as the counts are to be set beside it.
func (s *stageRun) explained() explain.Stage {
	var out explain.Stage
	for _, j := range s.jobs {
		out.Jobs = append(out.Jobs, j.spec.Name)
		for i, w := range j.workers {
			e := explain.Worker{CPU: w.place.cpu, Disks: diskNames(w), Polls: j.spec.HiPri}
			switch {
			case j.spec.SQThreadPoll:
				e.Elsewhere = "a kernel thread submits for the workers (SQPOLL)"
			case j.spec.ForceAsync > 0 || j.choice.Punted:
				e.Elsewhere = "the kernel's io_uring threads issue the requests"
			case !j.spec.Direct:
				e.Elsewhere = "I/O goes through the page cache, and the kernel issues the requests"
			}
			if i < len(j.totals) && !w.lost {
				for op := range j.totals[i].ops[:3] {
					e.IOs += int64(j.totals[i].ops[op].ios)
				}
			}
			out.Workers = append(out.Workers, e)
		}
	}
	return out
}
