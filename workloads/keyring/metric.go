package keyring

import "strings"

// MetricInfo is the metric by which a consumer tells which keys it has of a Secret:
//
//	certquake_keyring_info{secret="jwt",primary="r2",ids="r1,r2"} 1
//
// Its labels are the name of the Secret, the id of the key that the consumer signs with now, and
// the ids of all keys that it accepts now, parted by commas. Its value is 1; a series that is 0
// does not count. A process that reads the Secret anew removes the series of before. If there are
// several of one Secret, each of them must fit: they may be of several processes.
const MetricInfo = "certquake_keyring_info"

// The labels of MetricInfo.
const (
	SecretLabel  = "secret"
	PrimaryLabel = "primary"
	IDsLabel     = "ids"
)

// MetricLabels returns the labels of MetricInfo for a consumer that has the ring of a Secret.
func (r *Ring) MetricLabels(secret string) map[string]string {
	return map[string]string{
		SecretLabel: secret, PrimaryLabel: r.Primary().ID, IDsLabel: strings.Join(r.IDs(), ","),
	}
}
