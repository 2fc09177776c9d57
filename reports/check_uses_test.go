package reports

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
)

// A pod that never moves under writes that follow each other fast is late for each of them.
func TestPropagationJudgesEveryWriteOfAFastRotation(t *testing.T) {
	s := newScene()
	for i := range 10 {
		at := 3*time.Minute + time.Duration(i)*20*time.Second
		leaf := gen(fmt.Sprintf("s/%d", i+3), "root/1")
		s.write(at, leaf)
		s.use("p-0", at, at+10*time.Second, leaf)
	}
	status, reason := checkPropagation(s.analyse(t, false))
	assert.Equal(t, Fail, status, reason)
	assert.Contains(t, reason, "p-1")
}

// A container that comes up again on its old volume reads what it had before.
func TestPodThatComesUpOnItsOldVolumeIsStale(t *testing.T) {
	s := newScene()
	both := &record.Generation{Leaf: "s/2", Trust: "root/1+root/2", Chain: "root/1"}
	alone := &record.Generation{Leaf: "s/2", Trust: "root/1", Chain: "root/1"}
	for i, row := range s.rows { // the generation at 2m trusts both CAs
		if row.Own != nil && row.Own.Leaf == "s/2" {
			s.rows[i].Own = both
		}
	}
	s.write(4*time.Minute, alone)
	s.use("p-0", 4*time.Minute, 4*time.Minute+10*time.Second, alone)
	s.down("p-1", 4*time.Minute+5*time.Second, 5*time.Minute)
	s.use("p-1", 5*time.Minute, 5*time.Minute, both) // no extent: it had this before
	a := s.analyse(t, false)
	status, reason := checkStaleTrust(a)
	assert.Equal(t, Fail, status, reason)
	assert.Contains(t, reason, "p-1")
	status, reason = checkPropagation(a)
	assert.Equal(t, Fail, status, reason)
	assert.Contains(t, reason, "p-1")
}
