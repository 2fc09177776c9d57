package scenarios

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Rand returns the stream of dice of the given name under the seed. Streams are independent, so
// adding a peer does not disturb the dice of the others.
func Rand(seed uint64, name string) *rand.Rand {
	digest := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name+"\x00"), seed))
	return rand.New(rand.NewPCG(
		binary.BigEndian.Uint64(digest[:8]), binary.BigEndian.Uint64(digest[8:16])))
}
