package device

import (
	"bufio"
	"strings"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Swap is one active swap area.
type Swap struct {
	Path string // of the device or file
	File bool   // a swap file, not a device
}

// readSwaps reads /proc/swaps.
func readSwaps(root Root) []Swap { return parseSwaps(root.readAll("proc/swaps")) }

// parseSwaps reads the text of /proc/swaps: a header, then "path type size used priority" a line.
func parseSwaps(text string) []Swap {
	var swaps []Swap
	lines := bufio.NewScanner(strings.NewReader(text))
	for header := true; lines.Scan(); header = false {
		fields := strings.Fields(lines.Text())
		if header || len(fields) < 2 {
			continue
		}
		path := strings.TrimSuffix(unescapeOctal(fields[0]), " (deleted)")
		swaps = append(swaps, Swap{Path: path, File: fields[1] == "file"})
	}
	return swaps
}

// unescapeOctal undoes the kernel's \040 for the characters that would break a table's columns.
func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func octal(c byte) bool { return c >= '0' && c <= '7' }

// SwapOnFile returns the swap area that is the file with the given identity, or nil.
func (inv *Inventory) SwapOnFile(file blk.FileID) *Swap {
	for i := range inv.Swaps {
		s := &inv.Swaps[i]
		if !s.File {
			continue
		}
		if info, err := blk.Stat(inv.root.Path(s.Path)); err == nil && info.ID == file {
			return s
		}
	}
	return nil
}
