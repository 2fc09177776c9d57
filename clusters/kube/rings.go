package kube

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/certquake/certquake/workloads/request"
	"github.com/certquake/certquake/workloads/rotation"
)

// readKeys reads a Secret of keys with ids, by the names of its files alone: they say everything
// that a row may tell.
func readKeys(object *corev1.Secret, name string, at time.Duration) *content {
	files := rotation.Names(object.Data)
	keys := request.NamesIn(files)
	_, short, _ := strings.Cut(name, "/")
	held := keys.Generation(short)
	c := &content{at: at, object: object, keys: &keys, held: &held}
	_, problems := rotation.ReadRing(files)
	c.torn = len(problems) > 0
	return c
}
