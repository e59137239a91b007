package sysv

import (
	"errors"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
)

func create(t *testing.T) (id int, key int32) {
	t.Helper()
	for {
		key = rand.Int32N(1<<30) + 1
		id, err := Create(key)
		if errors.Is(err, syscall.EEXIST) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := Remove(id); err != nil && !errors.Is(err, syscall.EINVAL) {
				t.Error(err)
			}
		})
		return id, key
	}
}

func TestSet(t *testing.T) {
	id, key := create(t)
	if _, err := Create(key); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("creating the same key again: %v, want EEXIST", err)
	}
	if found, err := Lookup(key); err != nil || found != id {
		t.Errorf("Lookup = %d, %v; want %d", found, err, id)
	}
	if err := SetValue(id, 2); err != nil {
		t.Fatal(err)
	}
	if pid, err := LastPID(id); err != nil || pid != os.Getpid() {
		t.Errorf("LastPID = %d, %v", pid, err)
	}
	take, give := Operation{Delta: -1}, Operation{Delta: 1}.Undo()
	for range 2 {
		if errno := Do(id, &take); errno != 0 {
			t.Fatalf("taking: %v", errno)
		}
	}
	if errno := Do(id, &give); errno != 0 {
		t.Fatalf("giving: %v", errno)
	}
	if errno := Do(id, &take); errno != 0 {
		t.Fatalf("taking what was given: %v", errno)
	}
}

func TestRemoveEndsWaits(t *testing.T) {
	id, key := create(t)
	ended := make(chan syscall.Errno)
	go func() {
		take := Operation{Delta: -1}
		for {
			if errno := Do(id, &take); errno != syscall.EINTR {
				ended <- errno
				return
			}
		}
	}()
	if err := Remove(id); err != nil {
		t.Fatal(err)
	}
	if errno := <-ended; errno != syscall.EIDRM && errno != syscall.EINVAL {
		t.Errorf("waiting on a removed set ended with %v", errno)
	}
	if _, err := Lookup(key); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("Lookup of a removed set: %v, want ENOENT", err)
	}
	if err := Remove(id); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("removing twice: %v, want EINVAL", err)
	}
}

func TestNoAllocations(t *testing.T) {
	id, _ := create(t)
	take, give := Operation{Delta: -1}, Operation{Delta: 1}
	if n := testing.AllocsPerRun(100, func() { Do(id, &give); Do(id, &take) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
