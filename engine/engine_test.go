package engine

import (
	"reflect"
	"testing"
)

// A request is copied for each I/O, several to a cache line.
func TestARequestStaysSmall(t *testing.T) {
	if size := reflect.TypeFor[Request]().Size(); size != 24 {
		t.Errorf("a Request has %d bytes, not 24", size)
	}
}
