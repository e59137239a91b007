package target

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
)

// guard decides about writing. It looks at a snapshot and opens nothing itself.
type guard struct {
	inv  *device.Inventory
	look func(subject) string // says in words what a subject holds, for the refusal; may be nil
}

// consent returns nil if the subject may be written, else why not and what the user can do about it.
func (g guard) consent(s subject, spec Spec) error {
	if err := g.refuseInUse(s); err != nil {
		return err
	}
	named := slices.Contains(spec.Destroy, s.base())
	if s.kind == File && spec.Overwrite || named {
		return nil
	}
	return g.refuseUnnamed(s, spec)
}

// refuseInUse refuses what somebody relies on right now. Nothing lifts it.
func (g guard) refuseInUse(s subject) error {
	uses := g.usesOf(s)
	if len(uses) == 0 {
		return nil
	}
	return fault.New(fault.ExitRefused, "REFUSED_IN_USE", freeingHint(uses[0]),
		"refused to write to %s: %s [found in %s]%s", s.path, uses[0], uses[0].Found, alsoUsed(uses[1:]))
}

// usesOf collects the uses of a device, or of a file; of an NVMe namespace's character device those of its
// block device.
func (g guard) usesOf(s subject) []device.Use {
	switch s.kind {
	case File:
		return g.inv.FileUses(s.resolved, s.info.ID)
	case character, Generic:
		return g.inv.Uses(g.inv.NamespaceOf(s.info.Rdev))
	}
	return g.inv.Uses(g.inv.ByDevT(s.info.Rdev))
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

// refuseUnnamed refuses what exists and the user did not name, and says what would be lost.
func (g guard) refuseUnnamed(s subject, spec Spec) error {
	hint := fmt.Sprintf("--destroy=%s allows it; everything stored there may be lost", s.base())
	if len(spec.Destroy) > 0 {
		hint = fmt.Sprintf("--destroy names %s, but this is %s: %s", strings.Join(spec.Destroy, ", "), s.base(), hint)
	}
	holds := "it exists"
	if g.look != nil {
		holds = g.look(s)
	}
	if loops := g.loopsOver(s); loops != "" {
		holds += ", and is under " + loops
	}
	return fault.New(fault.ExitRefused, "REFUSED_EXISTS", hint, "refused to write to %s, which blkmeter did not make: %s", s.describe(), holds)
}

// loopsOver names the loop devices over a subject; used ones were refused before.
func (g guard) loopsOver(s subject) string {
	loops := g.inv.LoopsOn(s.blockDevT)
	if s.kind == File {
		loops = g.inv.LoopsOnFile(s.info.ID)
	}
	names := make([]string, len(loops))
	for i, n := range loops {
		names[i] = n.Name
	}
	return strings.Join(names, ", ")
}

// describe names the subject as the user did, with what it resolved to.
func (s subject) describe() string {
	if s.path == s.resolved {
		return s.path
	}
	return s.path + " (" + s.resolved + ")"
}
