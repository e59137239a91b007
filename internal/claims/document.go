package claims

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/stats"
	"github.com/blkmeter/blkmeter/report"
)

// Schema names the format of the document; it changes only when a reader of the old one would misread the new.
const Schema = "blkmeter.claims/1"

// Document is one run of claims: what was measured, block by block, and what follows from it.
type Document struct {
	Schema      string        `json:"schema"`
	Tool        report.Tool   `json:"tool"`
	Command     []string      `json:"command"` // argv as typed
	StartedAt   time.Time     `json:"started_at"`
	ElapsedNS   int64         `json:"elapsed_ns"`
	Status      report.Status `json:"status"`
	Host        report.Host   `json:"host"`
	Device      string        `json:"device"`       // kernel name; empty when only locks were tested
	DeviceFacts string        `json:"device_facts"` // for people: "1 hctx, 2 CPUs"
	KernelLocks string        `json:"kernel_locks"` // what spinlock_t is on this kernel
	Profile     string        `json:"profile"`
	Strict      bool          `json:"strict"`    // verdicts from mostly disturbed blocks are withheld
	MinDelta    float64       `json:"min_delta"` // smallest relevant effect of the profile
	ArmNS       int64         `json:"arm_ns"`    // measured window of an arm, unless a claim needs longer ones
	Seed        uint64        `json:"seed"`
	Records     []Record      `json:"claims"`
}

// Record is one claim of a run.
type Record struct {
	ID          string      `json:"id"`
	Title       string      `json:"title"`
	Statement   string      `json:"statement"`
	Sources     []Source    `json:"sources"`
	Honesty     string      `json:"honesty,omitempty"`
	Confounders []string    `json:"confounders"` // that the literature and experience warn of
	Verdict     Verdict     `json:"verdict"`
	Codes       []string    `json:"codes"`        // why it cannot be tested, or what was seen to disturb it
	Remedies    []string    `json:"remedies"`     // what would make it testable
	Why         string      `json:"why"`          // a sentence for CANNOT BE TESTED HERE, else empty
	Arms        []ArmRecord `json:"arms"`         // that were run
	Skipped     []SkipArm   `json:"skipped_arms"` // that were not
	Tests       []Outcome   `json:"tests"`
	ArmNS       int64       `json:"arm_ns"`     // measured window of an arm
	Confidence  float64     `json:"confidence"` // of the look at which the blocks ended
	Blocks      []Block     `json:"blocks"`
	Passes      []Pass      `json:"explain_passes"` // traced after the blocks
	Explain     []string    `json:"explain"`        // what the explain passes and the waits tell
	ElapsedNS   int64       `json:"elapsed_ns"`
}

// ArmRecord describes an arm that was run.
type ArmRecord struct {
	Name    string  `json:"name"`
	What    string  `json:"what"`
	Series  string  `json:"series,omitempty"`
	Load    float64 `json:"load"`
	Threads int     `json:"threads"`
	Explain bool    `json:"explain"`
	Rate    float64 `json:"paced_iops_per_s"` // 0: not paced
	Mean    float64 `json:"mean"`             // of Shown over the blocks
	CV      float64 `json:"cv"`               // of the same; 0 with fewer than two blocks
	Shown   Metric  `json:"shown"`            // the metric that describes the arm
}

// Pass is an arm traced once after the blocks.
type Pass struct {
	Name   string `json:"name"`
	What   string `json:"what"`
	Sample Sample `json:"sample"`
}

// SkipArm is an arm that this machine cannot run.
type SkipArm struct {
	Name     string   `json:"name"`
	Codes    []string `json:"codes"`
	Remedies []string `json:"remedies"`
}

// Block is every arm run once.
type Block struct {
	Index   int               `json:"index"`
	Seed    uint64            `json:"seed"`  // of the order
	Order   []string          `json:"order"` // in which the arms ran
	Samples map[string]Sample `json:"samples"`
}

// decisionAlpha is the level that a corrected p-value must reach.
const decisionAlpha = 0.05

// Judge computes every verdict again from the blocks. It is a pure function of the document.
func (d *Document) Judge() {
	for i := range d.Records {
		d.judge(&d.Records[i])
	}
	d.correct()
}

// judge answers one claim's tests and combines them.
func (d *Document) judge(r *Record) {
	if len(r.Blocks) == 0 {
		return // it never ran; why is on record
	}
	tb := d.table(r)
	for i := range r.Tests {
		r.Tests[i] = tb.answer(r.Tests[i].Test, r.Confidence, d.MinDelta)
	}
	r.Verdict = combine(r.Tests)
	r.Why = ""
	if r.Verdict == CannotTest {
		r.Why = r.whyNot()
	}
	r.summarise()
	if disturbed, code := r.disturbance(); disturbed && (r.Verdict == Inconclusive || d.Strict || !code.noise()) {
		r.Verdict = CannotTest
		r.Why = fmt.Sprintf("most blocks were disturbed (%s)", code)
		r.Remedies = []string{Need{Code: code}.Remedy()}
	}
}

func (d *Document) table(r *Record) *table {
	tb := &table{blocks: r.Blocks, arms: map[string]ArmRecord{}, seed: d.Seed}
	for _, a := range r.Arms {
		tb.arms[a.Name] = a
	}
	return tb
}

// combine makes one verdict of the deciding tests. One refuted test refutes the claim; all must be
// reproduced for it to be; tests whose arms this machine cannot run do not count unless none is left.
func combine(tests []Outcome) Verdict {
	var seen []Verdict
	for _, t := range tests {
		if t.Test.Decides {
			seen = append(seen, t.Verdict)
		}
	}
	switch {
	case slices.Contains(seen, NotReproduced):
		return NotReproduced
	case slices.Contains(seen, Inconclusive):
		return Inconclusive
	case slices.Contains(seen, Reproduced):
		return Reproduced
	default:
		return CannotTest
	}
}

// whyNot says why no test decided the claim: because of an arm that this machine cannot run, if that is it.
func (r *Record) whyNot() string {
	for _, t := range r.Tests {
		if !t.Test.Decides || t.Why == "" {
			continue
		}
		for _, k := range r.Skipped {
			if slices.Contains(t.Test.Of, k.Name) || slices.Contains(t.Test.To, k.Name) {
				return fmt.Sprintf("%s: arm %s was not run: %s", t.Test.Name, k.Name, strings.Join(k.Codes, ", "))
			}
		}
		return t.Test.Name + ": " + t.Why
	}
	return "no test could decide it"
}

// noise says that a disturbance falls on all arms alike, so that what is decided in spite of it stands. A generator
// at its limit makes unequal arms equal, and I/O that took another way is another experiment.
func (c Code) noise() bool { return c != MapMismatch && c != GeneratorBound }

// disturbance says whether more than half of the blocks were disturbed, and by what most, or by what is worse than
// noise. Codes of explain passes do not count: nothing is timed there.
func (r *Record) disturbance() (bool, Code) {
	counts := map[Code]int{}
	explain := map[string]bool{}
	for _, a := range r.Arms {
		explain[a.Name] = a.Explain
	}
	for _, b := range r.Blocks {
		inBlock := map[Code]bool{}
		for arm, s := range b.Samples {
			for _, c := range s.Codes {
				if !explain[arm] || c == MapMismatch {
					inBlock[c] = true
				}
			}
		}
		for c := range inBlock {
			counts[c]++
		}
	}
	worst := Code("")
	r.Codes = []string{} // not null in the document
	for _, c := range []Code{MapMismatch, GeneratorBound, NotSteady, GC, Steal} {
		if counts[c] > 0 {
			r.Codes = append(r.Codes, fmt.Sprintf("%s in %d of %d blocks", c, counts[c], len(r.Blocks)))
			if worst == "" || counts[c] > counts[worst] && (worst.noise() || 2*counts[worst] <= len(r.Blocks)) {
				worst = c
			}
		}
	}
	return 2*counts[worst] > len(r.Blocks), worst
}

// summarise fills in what describes the arms.
func (r *Record) summarise() {
	for i := range r.Arms {
		a := &r.Arms[i]
		var xs []float64
		for _, b := range r.Blocks {
			if v, ok := b.Samples[a.Name].Values[a.Shown]; ok {
				xs = append(xs, v)
			}
		}
		a.Mean, a.CV = 0, 0
		if len(xs) > 0 {
			a.Mean = stats.Mean(xs)
		}
		if len(xs) > 1 && a.Mean != 0 {
			a.CV = stats.CV(xs)
		}
	}
}

// correct applies Holm's correction to all tests of the run that decide something.
func (d *Document) correct() {
	var ps []float64
	var of []*Outcome
	for i := range d.Records {
		r := &d.Records[i]
		for j := range r.Tests {
			o := &r.Tests[j]
			o.PHolm, o.Survives = 1, false
			if o.Test.Decides && o.Interval != nil {
				ps, of = append(ps, o.P), append(of, o)
			}
		}
	}
	for i, p := range stats.Holm(ps) {
		of[i].PHolm = p
		of[i].Survives = p <= decisionAlpha && (of[i].Verdict == Reproduced || of[i].Verdict == NotReproduced)
	}
}

// Save writes the document as indented JSON.
func (d *Document) Save(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return fmt.Errorf("writing the claims document: %w", err)
	}
	return nil
}

// IsDocument says whether text claims to be a document of claims, of any version.
func IsDocument(text []byte) bool {
	var d struct {
		Schema string `json:"schema"`
	}
	family, _, _ := strings.Cut(Schema, "/")
	return json.Unmarshal(text, &d) == nil && strings.HasPrefix(d.Schema, family+"/")
}

// Load reads a document that Save wrote.
func Load(r io.Reader) (*Document, error) {
	var d Document
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return nil, fmt.Errorf("reading a claims document: %w", err)
	}
	if d.Schema != Schema {
		return nil, fmt.Errorf("reading a claims document: its schema is %q, not %s", d.Schema, Schema)
	}
	return &d, nil
}
