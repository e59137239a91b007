package device

import (
	"path/filepath"
	"strings"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// NamespaceOf returns the block device of the NVMe namespace whose generic character device (/dev/ngXnY)
// has number d, or nil: commands sent through the one change the other.
func (inv *Inventory) NamespaceOf(d blk.DevT) *Node {
	for _, generic := range inv.root.list("sys/class/nvme-generic") {
		if inv.root.devT("sys/class/nvme-generic", generic, "dev") == d {
			return inv.byName["nvme"+strings.TrimPrefix(generic, "ng")]
		}
	}
	return nil
}

// GenericOf returns the name of the generic character device of an NVMe namespace, or "".
func GenericOf(root Root, namespace string) string {
	generic := "ng" + strings.TrimPrefix(namespace, "nvme")
	if !root.has(filepath.Join("sys/class/nvme-generic", generic)) {
		return ""
	}
	return generic
}
