package rotator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/certquake/certquake/clusters/rotator/api"
)

// What the operator writes on objects, beside what they are for.
const (
	// Label has the name of the RotatingSecret that a Secret belongs to. Whoever may write a Secret
	// hands it over by this label; without it, the operator leaves a Secret alone.
	Label = api.Group + "/rotating-secret"
	// StateAnnotation has the rotation.State of the keys beside it.
	StateAnnotation = api.Group + "/rotation-state"
	// Finalizer is removed when deleting a RotatingSecret can no longer take a key in use away.
	Finalizer = api.Group + "/rotator"

	// ownerLabel has the UID of the RotatingSecret that a Job is for.
	ownerLabel = api.Group + "/rotating-secret-uid"

	name = "certquake-rotator" // of the operator, in events, leases and roles
)

// The variables that the containers of a migration have.
const (
	fromVariable    = "ROTATION_FROM"
	toVariable      = "ROTATION_TO"
	attemptVariable = "ROTATION_ATTEMPT"
	secretVariable  = "ROTATION_SECRET"
)

// move is one attempt of a migration.
type move struct {
	from, to string
	attempt  int64
}

// jobName names the Job of a move. The same move has the same name whoever asks, and no two moves
// share one: not those of a RotatingSecret that was deleted and made again either.
func jobName(rs *api.RotatingSecret, m move) string {
	const nameMax = 30 // of 63, with the attempt's digits and the hash
	short := strings.ReplaceAll(rs.Name[:min(len(rs.Name), nameMax)], ".", "-")
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s %d", rs.UID, m.from, m.to, m.attempt))
	short = strings.TrimRight(short, "-")
	return short + "-" + strconv.FormatInt(m.attempt, 10) + "-" + hex.EncodeToString(sum[:5])
}
