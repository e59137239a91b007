package fiojob

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/workloads"
)

func TestMemoryOfJobs(t *testing.T) {
	type memory struct {
		NUMA             workloads.NUMAMemory
		Offset, HugePage int
		Locked           int64
	}
	for options, want := range map[string]memory{
		"numa_mem_policy=local":          {NUMA: workloads.NUMAMemory{Policy: "local"}},
		"numa_mem_policy=default":        {NUMA: workloads.NUMAMemory{Policy: "default"}},
		"numa_mem_policy=prefer:3":       {NUMA: workloads.NUMAMemory{Policy: "prefer", Nodes: []int{3}}},
		"numa_mem_policy=bind:0-1,3":     {NUMA: workloads.NUMAMemory{Policy: "bind", Nodes: []int{0, 1, 3}}},
		"numa_mem_policy=interleave:all": {NUMA: workloads.NUMAMemory{Policy: "interleave", All: true}},
		"iomem_align=512 lockmem=1g":     {Offset: 512, Locked: 1 << 30},
		"hugepage-size=1g":               {},
		"hugepage-size=1g mem=mmaphuge":  {HugePage: 1 << 30},
		"mem=shmhuge":                    {},
	} {
		plan, _, err := ParseArgs(flagArgs(options), ParseOptions{})
		if err != nil {
			t.Errorf("%s: %v", options, err)
			continue
		}
		j := plan.Jobs[0]
		if diff := cmp.Diff(want, memory{j.NUMAMemory, j.Buffers.OffsetBytes, j.Buffers.HugePageBytes, j.LockMemBytes}); diff != "" {
			t.Errorf("%s: %s", options, diff)
		}
	}
	for options, why := range map[string]string{
		"numa_mem_policy=bind":          "no list of nodes",
		"numa_mem_policy=bind:x":        "no list of nodes",
		"numa_mem_policy=prefer:0-1":    "one node",
		"numa_mem_policy=prefer:all":    "no list of nodes",
		"numa_mem_policy=local:0":       "takes no nodes",
		"numa_mem_policy=near":          "none of default, local",
		"hugepage-size=3m mem=mmaphuge": "power of two",
		"hugepage-size=1k mem=mmaphuge": "below",
	} {
		if _, _, err := ParseArgs(flagArgs(options), ParseOptions{}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: the error is %v, want %q", options, err, why)
		}
	}
}
