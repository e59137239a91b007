package catalog_test

import (
	"syscall"
	"testing"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// A request's priority reaches the kernel, which refuses a class that there is not, and only its own does.
func TestRequestsCarryTheirPriority(t *testing.T) {
	for _, name := range []string{catalog.Libaio, catalog.Uring} {
		t.Run(name, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20})
			q, _ := queue(t, name, open(t, dev.Path, target.ReadWrite, true), func(c *engine.Config) {
				c.Priorities = []uint16{0, 3<<13 | 7, 7 << 13}
			})
			want := []int32{block, block, -int32(syscall.EINVAL)}
			for op := range engine.OpTrim {
				var reqs []engine.Request
				for s := range uint32(depth) {
					reqs = append(reqs, engine.Request{Op: op, Slot: s, Offset: int64(s) * block, Length: block, Prio: uint8(s % 3)})
				}
				for s, r := range turn(t, q, reqs) {
					if r != want[s%3] {
						t.Errorf("%s with priority %d: %d, want %d", op, s%3, r, want[s%3])
					}
				}
			}
		})
	}
}
