package inspect

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/prose"
)

// page writes the full view: a title, then "label  text" lines, texts aligned.
type page struct {
	strings.Builder
}

const labelWidth = 14

// line writes one line; without a label it continues the one before.
func (p *page) line(label, format string, args ...any) {
	fmt.Fprintf(p, "%s\n", strings.TrimRight(fmt.Sprintf("  %-*s%s", labelWidth, label, fmt.Sprintf(format, args...)), " "))
}

// Full writes everything that is known about one device.
func Full(w io.Writer, d Device) error {
	p := &page{}
	fmt.Fprintf(p, "%s\n", strings.TrimSpace(d.Path+"  "+d.title()))
	p.identity(d)
	p.usage(d)
	p.queues(d)
	if d.Detail != nil {
		p.settings(d.Detail.Settings)
		p.interrupts(d.Detail.Interrupts)
		p.power(d.Detail)
		p.health(d.Detail)
		p.notes(d.Detail.Notes)
	}
	_, err := io.WriteString(w, p.String())
	return err
}

func labelOnce(label string, i int) string {
	if i > 0 {
		return ""
	}
	return label
}

func (p *page) identity(d Device) {
	p.line("device", "%d:%d, %s, %s", d.Major, d.Minor, d.Kind, formatBytes(d.SizeBytes))
	p.line("blocks", "%d B logical, %d B physical", d.LogicalBytes, d.PhysicalBytes)
	if d.Firmware != "" || d.Serial != "" {
		p.line("identity", "firmware %s, serial %s", orDash(d.Firmware), orDash(d.Serial))
	}
	if d.Transport != "" || d.PCIAddress != "" {
		p.line("attached", "%s %s, NUMA node %s", d.Transport, d.PCIAddress, numberOrDash(d.NUMANode, -1))
	}
	p.line("cache", "%s", orDash(d.WriteCache))
	p.line("stack", "%s", strings.Join(d.Stack, " > "))
	if len(d.Partitions) > 0 {
		p.line("partitions", "%s", strings.Join(d.Partitions, ", "))
	}
}

func (p *page) usage(d Device) {
	p.line("reading", "allowed")
	switch d.Write {
	case target.Refused:
		p.line("writing", "refused, whatever is said:")
	case target.Immutable:
		p.line("writing", "impossible: the kernel takes no writes")
	default:
		p.line("writing", "with --destroy=%s", d.Name)
	}
	for _, u := range d.UsedBy {
		p.line("", "%s [%s]", u.Sentence, u.Found)
	}
}

func (p *page) queues(d Device) {
	if len(d.Queues) == 0 {
		p.line("queues", "none: bio-based")
		return
	}
	p.line("queues", "%s, scheduler %s, %d tags each, nr_requests %d", queueWords(d.Queues), d.Scheduler, d.Tags, d.NrRequests)
	for _, q := range d.Queues {
		p.line("", "hctx %-3d %-8s CPU %s", q.HCTX, q.Type, device.FormatCPUList(q.CPUs))
	}
}

func (p *page) settings(values map[string]string) {
	const perLine = 60
	label, text := "settings", ""
	for _, key := range slices.Sorted(maps.Keys(values)) {
		word := key + "=" + strings.ReplaceAll(values[key], " ", "_")
		if text != "" && len(text)+1+len(word) > perLine {
			p.line(label, "%s", text)
			label, text = "", ""
		}
		text = strings.TrimSpace(text + " " + word)
	}
	if text != "" {
		p.line(label, "%s", text)
	}
}

func (p *page) notes(notes []string) {
	for i, note := range notes {
		p.WriteString(prose.Wrap(fmt.Sprintf("  %-*s", labelWidth, labelOnce("note", i)), note))
	}
}

func (p *page) interrupts(all []Interrupt) {
	for n, i := range all {
		p.line(labelOnce("interrupts", n), "%-4d %-16s on CPU %-6s (may use %s), %d so far",
			i.Number, i.Name, device.FormatCPUList(i.Effective), device.FormatCPUList(i.Allowed), i.Count)
	}
}

func (p *page) power(d *Detail) {
	p.line("CPU power", "governor %s, idle driver %s", orDash(d.CPUPower.Governor), orDash(d.CPUPower.IdleDriver))
	for _, s := range d.CPUPower.IdleStates {
		off := ""
		if s.Disabled {
			off = ", disabled"
		}
		p.line("", "%s wakes in %d us%s", s.Name, s.ExitLatencyUS, off)
	}
}

func (p *page) health(d *Detail) {
	if d.HealthError != "" {
		p.line("health", "not known: %s", d.HealthError)
	}
	n := d.NVMe
	if n == nil {
		return
	}
	p.line("temperature", "%d C (warns at %d, critical at %d); %d min beyond warning, %d min beyond critical",
		n.TemperatureC, n.WarningC, n.CriticalC, n.WarningMinutes, n.CriticalMinutes)
	p.line("throttled", "%d times lightly (%d s), %d times heavily (%d s)",
		n.LightThrottles, n.LightThrottleS, n.HeavyThrottles, n.HeavyThrottleS)
	p.line("wear", "%d %% of rated life used, %d %% spare (warns below %d %%), %.0f media errors",
		n.UsedPercent, n.SparePercent, n.SpareMinPercent, n.MediaErrors)
	p.line("transferred", "%s read, %s written, in %.0f hours", formatBytes(int64(n.ReadBytes)), formatBytes(int64(n.WrittenBytes)), n.PowerOnHours)
	for _, w := range n.CriticalWarnings {
		p.line("WARNING", "%s", w)
	}
	p.powerStates(n)
}

func (p *page) powerStates(n *NVMe) {
	apst := "off"
	if n.APST {
		apst = "on"
	}
	p.line("power state", "%d now, autonomous transitions %s", n.PowerState, apst)
	for _, s := range n.PowerStates {
		kind := "idle"
		if s.Operational {
			kind = "does I/O"
		}
		p.line("", "state %d: %.2f W, %s, enters in %d us, leaves in %d us", s.Number, s.MaxWatts, kind, s.EntryLatencyUS, s.ExitLatencyUS)
	}
	for _, t := range n.Transitions {
		p.line("", "from state %d to %d after %d ms without I/O", t.From, t.To, t.IdleMS)
	}
}
