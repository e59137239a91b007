package claims

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/internal/prose"
)

// lockStory is what the traced samples of one arm say of waiting for the kernel's locks.
type lockStory struct {
	arm        string
	ios, waits float64
	waitNS     float64 // spinning, for locks of the block layer
	timed      bool
	sites      map[string]*Site
}

const (
	maxSites = 3 // call sites that are named, of the block layer and of the rest of the kernel
	fewWaits = 2 // per 1,000 I/O: not worth a name
)

// kernelLocks tells of waiting for the kernel's locks: how often, how long, and who. One arm alone is nothing to
// compare with, and nothing is told of it.
func (r *Record) kernelLocks() []string {
	var stories []lockStory
	tell := func(arm string, samples ...Sample) {
		if s := storyOf(arm, samples); s.ios > 0 {
			stories = append(stories, s)
		}
	}
	for _, a := range r.Arms {
		var samples []Sample
		for _, b := range r.Blocks {
			if s, ok := b.Samples[a.Name]; ok && a.Explain {
				samples = append(samples, s)
			}
		}
		tell(a.Name, samples...)
	}
	for _, p := range r.Passes {
		tell(p.Name, p.Sample)
	}
	if len(stories) < 2 {
		return nil
	}
	var often, long, who []string
	for _, s := range stories {
		often = append(often, s.arm+" "+number(1000*s.waits/s.ios))
		if s.timed {
			long = append(long, s.arm+" "+prose.Nanoseconds(s.waitNS/s.ios))
		}
		if line := s.who(); line != "" {
			who = append(who, line)
		}
	}
	lines := []string{"contended acquisitions of the block layer's locks per 1,000 I/O: " + strings.Join(often, ", ")}
	if len(long) > 0 {
		lines = append(lines, "spinning for them per I/O: "+strings.Join(long, ", "))
	}
	return append(lines, who...)
}

// storyOf adds up the samples in which waits were counted.
func storyOf(arm string, samples []Sample) lockStory {
	story := lockStory{arm: strings.TrimSuffix(arm, " traced"), sites: map[string]*Site{}}
	for _, s := range samples {
		n, counted := s.Values[Contended]
		if !counted {
			continue
		}
		story.ios, story.waits = story.ios+s.Values[IOs], story.waits+n
		if ns, ok := s.Values[LockWait]; ok {
			story.waitNS, story.timed = story.waitNS+ns, true
		}
		for _, site := range s.Sites {
			if story.sites[site.Function] == nil {
				story.sites[site.Function] = &Site{Function: site.Function, BlockLayer: site.BlockLayer}
			}
			story.sites[site.Function].Waits += site.Waits
		}
	}
	return story
}

// who names those that waited most; empty when nobody is worth it.
func (s *lockStory) who() string {
	var parts []string
	if block := s.top(true); len(block) > 0 {
		parts = append(parts, strings.Join(block, ", "))
	}
	if elsewhere := s.top(false); len(elsewhere) > 0 {
		parts = append(parts, "outside the block layer "+strings.Join(elsewhere, ", "))
	}
	if len(parts) == 0 {
		return ""
	}
	return "sites of " + s.arm + ": " + strings.Join(parts, "; ")
}

// top names those that waited most, of the block layer or of the rest of the kernel, with their waits per 1,000 I/O.
func (s *lockStory) top(blockLayer bool) []string {
	var top []*Site
	for _, site := range s.sites {
		if site.BlockLayer == blockLayer && 1000*float64(site.Waits) >= fewWaits*s.ios && site.Function != "" {
			top = append(top, site)
		}
	}
	slices.SortFunc(top, func(a, b *Site) int {
		return cmp.Or(cmp.Compare(b.Waits, a.Waits), cmp.Compare(a.Function, b.Function))
	})
	var names []string
	for _, site := range top[:min(len(top), maxSites)] {
		names = append(names, fmt.Sprintf("%s %.0f", site.Function, 1000*float64(site.Waits)/s.ios))
	}
	return names
}
