package fiojob

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/workloads"
)

// An option that works sets something.
func TestNoOptionIsWithoutEffect(t *testing.T) {
	exempt := []string{
		"thread",              // what it asks for is so in any case
		"allow_mounted_write", // says itself that it changes nothing
	}
	base := workloads.DefaultJob()
	for i, o := range table().options {
		if o.Effect != Works || o.Switch || slices.Contains(exempt, o.Name) {
			continue
		}
		values := []string{"0", "1", "2", "7", "9", "50", "101", "1000", "1k-4k", "4k/50", "x", "0xab", "EIO", "iops:5%", "zipf:1.3", "0-1", "bind:0", "write:8", "trim"}
		for _, w := range o.Kind.Words() {
			values = append(values, w.Name, w.Name+":1k")
		}
		set := false
		for _, v := range values {
			d := &draft{Job: base, kbBase: 1024}
			if _, err := d.apply(i, v, false); err != nil {
				continue
			}
			untouched := draft{Job: base, kbBase: 1024, given: d.given}
			set = set || !reflect.DeepEqual(*d, untouched)
		}
		if !set {
			t.Errorf("%s works, and none of %q sets anything", o.Name, values)
		}
	}
}

// What options set, something reads: a field of Job that nothing outside this package uses would make an
// option that is accepted and does nothing.
func TestEveryFieldOfAJobIsUsed(t *testing.T) {
	var code strings.Builder
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if e.IsDir() {
			if rel == filepath.Join("workloads", "fiojob") || rel != "." && strings.HasPrefix(e.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		declares := rel == filepath.Join("workloads", "job.go") || rel == filepath.Join("workloads", "spec.go")
		refuses := rel == filepath.Join("internal", "run", "support.go")
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || declares || refuses {
			return nil
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`\.([A-Z]\w*)`).FindAllStringSubmatch(code.String(), -1) {
		used[m[1]] = true
	}
	var look func(t reflect.Type, path string)
	exempt := []string{
		"DirectAssumed", // no option sets it
		"Line",          // for messages about the job
		"Logs", "Stats", // refused by runs as a whole, where they are not read
	}
	look = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := path + f.Name
			if slices.Contains(exempt, name) {
				continue
			}
			if !used[f.Name] {
				t.Errorf("%s: nothing reads it", name)
			}
			if f.Type.Kind() == reflect.Struct {
				look(f.Type, name+".")
			}
		}
	}
	look(reflect.TypeFor[workloads.Job](), "")
}
