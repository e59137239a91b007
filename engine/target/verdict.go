package target

import "github.com/blkmeter/blkmeter/internal/device"

// Verdict is what the guard would say about a block device, without opening it.
type Verdict struct {
	Write Permission
	Uses  []device.Use // why writing is refused
}

// Permission says whether a target may be written.
type Permission string

// The permissions. Reading is always allowed.
const (
	Refused   Permission = "refused"   // it is in use; nothing lifts this
	Immutable Permission = "read-only" // the kernel takes no writes
	OnRequest Permission = "destroy"   // when the user names it with --destroy
)

// Judge returns the verdict on a block device.
func Judge(inv *device.Inventory, n *device.Node, readOnly bool) Verdict {
	uses := inv.Uses(n)
	switch {
	case len(uses) > 0:
		return Verdict{Write: Refused, Uses: uses}
	case readOnly:
		return Verdict{Write: Immutable}
	}
	return Verdict{Write: OnRequest}
}
