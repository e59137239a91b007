package device

import "testing"

// Which of its formats a namespace has stands in two places of a byte.
func TestNamespaceFormat(t *testing.T) {
	for _, c := range []struct {
		flbas byte
		index int
	}{{0, 0}, {0x02, 2}, {0x0f, 15}, {0x20, 16}, {0x43, 35}, {0x12, 2}} { // bit 4 is about metadata
		id := make([]byte, 4096)
		id[0], id[5], id[26] = 0x34, 0x12, c.flbas
		copy(id[128+4*c.index:], []byte{8, 1, 12, 2})
		if got, want := parseNamespaceFormat(id), (NamespaceFormat{Blocks: 0x12_0000_0000_34, BlockBytes: 4096, MetadataBytes: 264}); got != want {
			t.Errorf("FLBAS %#x: %+v, want %+v", c.flbas, got, want)
		}
	}
}
