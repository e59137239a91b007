package target

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// consent is the guard. It returns nil if the subject may be written, else why not and what the user can
// do about it. It looks at the inventory only and opens nothing.
func consent(s subject, spec Spec, inv *device.Inventory) error {
	if err := refuseInUse(s, inv); err != nil {
		return err
	}
	named := slices.Contains(spec.Destroy, s.base())
	if s.kind == File && spec.Overwrite || named {
		return nil
	}
	return refuseUnnamed(s, spec)
}

// refuseInUse refuses what somebody relies on right now. Nothing lifts it.
func refuseInUse(s subject, inv *device.Inventory) error {
	uses := usesOf(s, inv)
	if len(uses) == 0 {
		return nil
	}
	return fault.New(fault.ExitRefused, "REFUSED_IN_USE", freeingHint(uses[0]),
		"refused to write to %s: %s [found in %s]%s", s.path, uses[0], uses[0].Found, alsoUsed(uses[1:]))
}

// usesOf collects the uses of a device, or of a file; of a loop device also those of the file under it.
func usesOf(s subject, inv *device.Inventory) []device.Use {
	if s.kind == File {
		return inv.FileUses(s.resolved, s.info.ID, blk.DevT{})
	}
	uses := inv.Uses(s.info.Rdev)
	if n := inv.ByDevT(s.info.Rdev); n != nil && n.Backing != "" {
		uses = append(uses, inv.BackingUses(n)...)
	}
	return uses
}

// alsoUsed lists up to three more uses.
func alsoUsed(uses []device.Use) string {
	var b strings.Builder
	for i, u := range uses {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(uses)-i)
			break
		}
		fmt.Fprintf(&b, "; %s", u)
	}
	return b.String()
}

// freeingHint says how to end a use.
func freeingHint(u device.Use) string {
	const never = "; --destroy does not lift this"
	switch u.Kind {
	case device.UseMount:
		return "unmount it first (umount " + u.By + ")" + never
	case device.UseSwap:
		return "turn the swap area off first (swapoff " + u.By + ")" + never
	case device.UseLoop:
		return "detach the loop device first (losetup -d /dev/" + u.By + ")" + never
	}
	return "stop " + u.By + " first, or measure " + u.By + " itself" + never
}

// refuseUnnamed refuses what exists and the user did not name.
func refuseUnnamed(s subject, spec Spec) error {
	hint := fmt.Sprintf("--destroy=%s allows it; everything stored there may be lost", s.base())
	if len(spec.Destroy) > 0 {
		hint = fmt.Sprintf("--destroy names %s, but this is %s: %s", strings.Join(spec.Destroy, ", "), s.base(), hint)
	}
	return fault.New(fault.ExitRefused, "REFUSED_EXISTS", hint,
		"refused to write to %s: it exists, and blkmeter did not make it", s.describe())
}

// describe names the subject as the user did, with what it resolved to.
func (s subject) describe() string {
	if s.path == s.resolved {
		return s.path
	}
	return s.path + " (" + s.resolved + ")"
}
