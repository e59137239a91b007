package run

import "testing"

// The last window has its true length, also when all workers have reported it long before the job is over, as
// before data is read back.
func TestTheLastWindowIsAsLongAsTheLoad(t *testing.T) {
	s := newSeries(1000, 500, 1)
	s.add(&window{start: 1000, end: 1510})
	if closed := s.close(false); len(closed) != 1 || closed[0].LengthNS != 500 {
		t.Errorf("a full window: %+v", closed)
	}
	s.add(&window{start: 1510, end: 1700})
	if closed := s.close(false); len(closed) != 0 {
		t.Errorf("closed before the end: %+v", closed)
	}
	s.add(&window{start: 1700, end: 1700}) // what remains after the reading back
	if closed := s.close(true); len(closed) != 1 || closed[0].LengthNS != 200 || closed[0].Partial {
		t.Errorf("the last window: %+v", closed)
	}
}
