package reporttest

import (
	"reflect"
	"testing"
	"time"
)

// TestEveryFieldIsSet holds the fixture to its promise: a field that no part of it sets would let an
// output drop that field unseen.
func TestEveryFieldIsSet(t *testing.T) {
	set := map[string]bool{}
	markSet(reflect.ValueOf(Result()), set)
	for field, ok := range set {
		// A job that was skipped has no figures to lose: the outputs have tests of their own for it.
		if !ok && field != "Job.Skipped" {
			t.Errorf("%s is zero everywhere", field)
		}
	}
}

// markSet records for every field of every type whether any value of it is not zero.
func markSet(v reflect.Value, set map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			markSet(v.Elem(), set)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			markSet(v.Index(i), set)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			field := v.Type().Name() + "." + v.Type().Field(i).Name
			set[field] = set[field] || !v.Field(i).IsZero()
			markSet(v.Field(i), set)
		}
	}
}

// TestSiblingsDiffer catches outputs that print one field in place of another.
func TestSiblingsDiffer(t *testing.T) {
	r := Result()
	for _, v := range []any{r.Host, r.Clock, *r.Targets[0].Kernel, r.Jobs[0].Workers[0].Stats.CPU, *r.Jobs[0].Read, *r.Jobs[0].Write, *r.Jobs[0].Read.Clat, *r.Jobs[0].Fairness} {
		seen := map[float64]string{}
		s := reflect.ValueOf(v)
		for i := range s.NumField() {
			f := s.Field(i)
			name := s.Type().Field(i).Name
			var x float64
			switch {
			case f.CanInt():
				x = float64(f.Int())
			case f.CanFloat():
				x = f.Float()
			default:
				continue
			}
			if other, ok := seen[x]; ok && x != 0 {
				t.Errorf("%T: %s and %s are both %v", v, other, name, x)
			}
			seen[x] = name
		}
	}
}
