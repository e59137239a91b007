package device

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// SMART is an NVMe controller's own account of its health: log page 02h, and what identify says about its
// limits (NVM Express base specification, figures "SMART / Health Information" and "Identify Controller").
type SMART struct {
	CriticalWarnings []string
	TemperatureC     int   // composite
	WarningC         int   // from here on it warns; 0 unknown
	CriticalC        int   // from here on it protects itself; 0 unknown
	SensorsC         []int // the sensors that it has
	SparePercent     int   // spare blocks left
	SpareMinPercent  int   // below this it warns
	UsedPercent      int   // of its rated life; may exceed 100
	ReadBytes        float64
	WrittenBytes     float64
	ReadCommands     float64
	WriteCommands    float64
	BusyMinutes      float64
	PowerCycles      float64
	PowerOnHours     float64
	UnsafeShutdowns  float64
	MediaErrors      float64
	ErrorLogEntries  float64
	WarningMinutes   uint32 // time at or above WarningC
	CriticalMinutes  uint32 // time at or above CriticalC
	Throttle         [2]Throttle
}

// Throttle counts how often, and for how long, a controller slowed down because of its temperature: light
// (management temperature 1) and heavy (2).
type Throttle struct {
	Transitions uint32
	Seconds     uint32
}

// PowerState is one of an NVMe controller's power states.
type PowerState struct {
	Number         int
	MaxWatts       float64
	Operational    bool // it does I/O in this state
	EntryLatencyUS uint32
	ExitLatencyUS  uint32
}

// Power is how an NVMe controller saves power. Leaving a state that does no I/O costs the first I/O after a
// pause its exit latency.
type Power struct {
	States      []PowerState
	Current     int
	APST        bool              // it changes states by itself when idle
	Transitions []PowerTransition // with APST: what it does, per state
}

// PowerTransition says that in state From, after Idle without I/O, the controller goes to state To.
type PowerTransition struct {
	From, To int
	Idle     time.Duration
}

// Sleep returns the shortest pause after which the controller goes by itself to a state that does no I/O, and
// how long it then needs to come back; 0 when it does not.
func (p Power) Sleep() (after, wake time.Duration) {
	if !p.APST {
		return 0, 0
	}
	for _, t := range p.Transitions {
		for _, s := range p.States {
			if s.Number == t.To && !s.Operational && (after == 0 || t.Idle < after) {
				after, wake = t.Idle, time.Duration(s.ExitLatencyUS)*time.Microsecond
			}
		}
	}
	return after, wake
}

// Health is what an NVMe controller tells when it is asked, which takes root.
type Health struct {
	SMART SMART
	Power Power
}

const (
	logSMART     = 0x02
	smartBytes   = 512
	featurePower = 0x02
	featureAPST  = 0x0c
	apstBytes    = 256
)

// ReadHealth asks the NVMe controller with the given name (nvme0) by commands that only read. It opens the
// controller's node, the only node that this package opens.
func ReadHealth(controller string) (Health, error) {
	file, err := blk.Open("/dev/"+controller, blk.Flags{})
	if err != nil {
		return Health{}, fmt.Errorf("open NVMe controller: %w", err)
	}
	defer file.Close()
	fd := int(file.Fd())
	page, err := blk.NVMeLogPage(fd, logSMART, smartBytes)
	if err != nil {
		return Health{}, err
	}
	identify, err := blk.NVMeIdentifyController(fd)
	if err != nil {
		return Health{}, err
	}
	h := Health{SMART: ParseSMART(page, identify), Power: Power{States: parsePowerStates(identify)}}
	if value, _, err := blk.NVMeFeature(fd, featurePower, 0); err == nil {
		h.Power.Current = int(value & 0x1f)
	}
	if value, table, err := blk.NVMeFeature(fd, featureAPST, apstBytes); err == nil {
		h.Power.APST = value&1 != 0
		h.Power.Transitions = parseAPST(table)
	}
	return h, nil
}

var criticalWarnings = []string{
	"spare blocks are below the threshold", "temperature is beyond a threshold", "reliability is degraded",
	"media are read-only", "the backup of volatile memory failed", "persistent memory is read-only",
}

// ParseSMART decodes log page 02h (512 bytes) with the limits from the identify data (4096 bytes); what is
// missing from a shorter page is 0.
func ParseSMART(page, identify []byte) SMART {
	p, id := padded(page, smartBytes), padded(identify, blk.NVMeIdentifyBytes)
	s := SMART{
		TemperatureC: celsius(le16(p[1:])), WarningC: celsius(le16(id[266:])), CriticalC: celsius(le16(id[268:])),
		SparePercent: int(p[3]), SpareMinPercent: int(p[4]), UsedPercent: int(p[5]),
		ReadBytes: le128(p[32:]) * dataUnitBytes, WrittenBytes: le128(p[48:]) * dataUnitBytes,
		ReadCommands: le128(p[64:]), WriteCommands: le128(p[80:]), BusyMinutes: le128(p[96:]),
		PowerCycles: le128(p[112:]), PowerOnHours: le128(p[128:]), UnsafeShutdowns: le128(p[144:]),
		MediaErrors: le128(p[160:]), ErrorLogEntries: le128(p[176:]),
		WarningMinutes: le32(p[192:]), CriticalMinutes: le32(p[196:]),
		Throttle: [2]Throttle{{le32(p[216:]), le32(p[224:])}, {le32(p[220:]), le32(p[228:])}},
	}
	for i, text := range criticalWarnings {
		if p[0]&(1<<i) != 0 {
			s.CriticalWarnings = append(s.CriticalWarnings, text)
		}
	}
	for at := 200; at < 216; at += 2 {
		if kelvin := le16(p[at:]); kelvin != 0 {
			s.SensorsC = append(s.SensorsC, celsius(kelvin))
		}
	}
	return s
}

// dataUnitBytes is the unit of the data counters: thousands of 512 bytes.
const dataUnitBytes = 512000

func parsePowerStates(identify []byte) []PowerState {
	id := padded(identify, blk.NVMeIdentifyBytes)
	states := make([]PowerState, 0, 32)
	for i := range min(int(id[263])+1, 32) {
		d := id[2048+32*i:]
		scale := 0.01
		if d[3]&1 != 0 {
			scale = 0.0001
		}
		states = append(states, PowerState{
			Number: i, MaxWatts: float64(le16(d)) * scale, Operational: d[3]&2 == 0,
			EntryLatencyUS: le32(d[4:]), ExitLatencyUS: le32(d[8:]),
		})
	}
	return states
}

func parseAPST(table []byte) []PowerTransition {
	var transitions []PowerTransition
	for i := 0; i+8 <= len(table); i += 8 {
		entry := binary.LittleEndian.Uint64(table[i:])
		idle, to := entry>>8&0xffffff, entry>>3&0x1f
		if idle != 0 {
			transitions = append(transitions, PowerTransition{From: i / 8, To: int(to), Idle: time.Duration(idle) * time.Millisecond})
		}
	}
	return transitions
}

// Utilisation is how much of an NVMe namespace is in use, in logical blocks.
type Utilisation struct {
	Capacity uint64 // that may be in use at most
	Used     uint64 // that the controller has allocated
}

// ReadUtilisation asks the namespace behind an open NVMe block device. Controllers that do not count
// report Used equal to Capacity.
func ReadUtilisation(fd int, nsid uint32) (Utilisation, error) {
	id, err := blk.NVMeIdentifyNamespace(fd, nsid)
	if err != nil {
		return Utilisation{}, err
	}
	return Utilisation{Capacity: binary.LittleEndian.Uint64(id[8:]), Used: binary.LittleEndian.Uint64(id[16:])}, nil
}

// NamespaceFormat is how an NVMe namespace is formatted.
type NamespaceFormat struct {
	Blocks        uint64 // that can be addressed
	BlockBytes    int64  // data of a logical block
	MetadataBytes int    // beside it, or in it
}

// ReadNamespaceFormat asks the namespace behind an open NVMe node (NVM Express NVM command set specification,
// "Identify Namespace").
func ReadNamespaceFormat(fd int, nsid uint32) (NamespaceFormat, error) {
	id, err := blk.NVMeIdentifyNamespace(fd, nsid)
	if err != nil {
		return NamespaceFormat{}, err
	}
	return parseNamespaceFormat(id), nil
}

func parseNamespaceFormat(id []byte) NamespaceFormat {
	const flbas, formats, formatBytes = 26, 128, 4
	index := int(id[flbas]&0xf | id[flbas]>>1&0x30) // bits 3:0, and 6:5 above them
	format := id[formats+index*formatBytes:]
	return NamespaceFormat{
		Blocks: binary.LittleEndian.Uint64(id), MetadataBytes: int(le16(format)), BlockBytes: 1 << (format[2] & 63),
	}
}

func padded(b []byte, n int) []byte {
	if len(b) >= n {
		return b
	}
	return append(append(make([]byte, 0, n), b...), make([]byte, n-len(b))...)
}

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// le128 reads a 128-bit counter, exact up to 2^53.
func le128(b []byte) float64 {
	low, high := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	return math.Ldexp(float64(high), 64) + float64(low)
}

// celsius converts from kelvins; 0 K means that there is no value.
func celsius(kelvin uint16) int {
	if kelvin == 0 {
		return 0
	}
	return int(kelvin) - 273
}
