package cpu

import (
	"runtime"
	"slices"
	"testing"
)

func TestConfineSparesWhomItIsTold(t *testing.T) {
	all, err := Affinity()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 2 {
		t.Skip("needs 2 CPUs to tell one from the other")
	}
	ready, done, spared := make(chan int), make(chan struct{}), make(chan []int)
	go func() {
		runtime.LockOSThread()
		ready <- ThreadID()
		<-done
		cpus, _ := Affinity()
		spared <- cpus
	}()
	id := <-ready
	undo, err := Confine(all[:1], []int{id})
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if cpus, err := Affinity(); err != nil || !slices.Equal(cpus, all[:1]) {
		t.Errorf("confined to %v, this thread may use %v, %v", all[:1], cpus, err)
	}
	undo()
	if cpus, err := Affinity(); err != nil || !slices.Equal(cpus, all) {
		t.Errorf("given back %v, this thread may use %v, %v", all, cpus, err)
	}
	close(done)
	if cpus := <-spared; !slices.Equal(cpus, all) {
		t.Errorf("the spared thread may use %v, want %v", cpus, all)
	}
}

// Threads that the Go runtime starts meanwhile are not left with fewer CPUs than the process had.
func TestConfineForgetsNoThread(t *testing.T) {
	all, err := Affinity()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 2 {
		t.Skip("needs 2 CPUs to tell one from the other")
	}
	undo, err := Confine(all[:1], nil)
	if err != nil {
		t.Fatal(err)
	}
	// Each goroutine takes a thread for itself, so that there must be new ones.
	const many = 20
	ready, done := make(chan int), make(chan struct{})
	ended := make(chan struct{})
	for range many {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready <- ThreadID()
			<-done
			ended <- struct{}{}
		}()
	}
	var threads []int
	for range many {
		threads = append(threads, <-ready)
	}
	undo()
	for _, id := range threads {
		if cpus, err := affinityOf(id); err != nil || !slices.Equal(cpus, all) {
			t.Errorf("thread %d may use %v afterwards, %v; want %v", id, cpus, err, all)
		}
	}
	close(done)
	for range many {
		<-ended
	}
}
