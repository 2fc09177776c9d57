package harness

import (
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
)

// StoreKeys returns how the group's pods read the keys that their records are sealed under, for the
// workload core.
func StoreKeys(group *scenarios.StoreGroup) keyring.Settings {
	s := keyring.Settings{Parts: []keyring.Part{keyring.Symmetric}, TTL: group.Every}
	if group.Policy == string(credential.StartUp) {
		s.TTL = keyring.Never
	}
	return s
}
