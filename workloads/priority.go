package workloads

import "strconv"

// Priority is the priority of an I/O as the kernel has it (ioprio_set(2), include/uapi/linux/ioprio.h): the class
// in the upper three bits, then ten bits of hint and three of level. 0 is no priority of its own.
type Priority uint16

// The classes of a priority.
const (
	ClassNone       = 0 // the kernel makes it best effort, at a level that follows from the nice value
	ClassRealTime   = 1 // needs CAP_SYS_NICE
	ClassBestEffort = 2
	ClassIdle       = 3
)

const (
	levelBits = 3
	hintBits  = 10
)

// NewPriority returns the priority of a class (0..7), a level (0..7, 0 the highest) and a hint (0..1023).
func NewPriority(class, level, hint int) Priority {
	return Priority(class&7<<(levelBits+hintBits) | hint&(1<<hintBits-1)<<levelBits | level&7)
}

// Class is none, real time, best effort or idle.
func (p Priority) Class() int { return int(p >> (levelBits + hintBits)) }

// Level is 0, the highest, to 7.
func (p Priority) Level() int { return int(p & 7) }

// Hint is what the device is told beside the priority, such as a limit for the duration (1..7).
func (p Priority) Hint() int { return int(p >> levelBits & (1<<hintBits - 1)) }

// String returns the class's name and the level, as in "rt/3", and a hint if there is one.
func (p Priority) String() string {
	name := "class" + strconv.Itoa(p.Class())
	if c := p.Class(); c <= ClassIdle {
		name = [...]string{"none", "rt", "be", "idle"}[c]
	}
	name += "/" + strconv.Itoa(p.Level())
	if h := p.Hint(); h != 0 {
		name += "/" + strconv.Itoa(h)
	}
	return name
}

// PriorityShare says that a share of the I/Os has a priority of its own.
type PriorityShare struct {
	Bytes    uint32 // of the I/Os of this size; 0: of all
	Percent  int    // 0..100
	Priority Priority
}

// OwnPriority is the priority of the job's threads, which I/Os have that are not given another one.
func (j *Job) OwnPriority() Priority {
	if j.PrioClass == ClassNone && j.PrioHint == 0 {
		return 0
	}
	class := j.PrioClass
	if class == ClassNone {
		class = ClassBestEffort
	}
	return NewPriority(class, j.Prio, j.PrioHint)
}
