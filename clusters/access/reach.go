package access

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Explain says why an API server did not do what an account asked for first, and what to do about
// it. Where says which server that is, in words.
func Explain(err error, where string) error {
	_, answered := errors.AsType[*apierrors.StatusError](err)
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s does not know the account: its token or certificate may have "+
			"expired; log in again, or choose another --context", where)
	case answered:
		return fmt.Errorf("%s refuses: %w", where, err)
	}
	return fmt.Errorf("%s cannot be reached: %w; see that it is up, or choose another "+
		"--context", where, err)
}
