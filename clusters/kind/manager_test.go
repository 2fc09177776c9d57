package kind

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admission "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestStacksAreLeftOut(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "I1121 wait\nerror: no room\n\tindented words\nend",
		withoutStacks("I1121 wait\nerror: no room\n\tindented words\nk8s.io/cmd.run\n"+
			"\tk8s.io/cmd/run.go:12\nmain.main\n\tmain.go:1\nend"))
}

// A nudge is an event for each of the two webhooks, and changes nothing that they do.
func TestNudge(t *testing.T) {
	t.Parallel()
	named := metav1.ObjectMeta{Name: webhookName}
	client := fake.NewClientset(
		&admission.ValidatingWebhookConfiguration{ObjectMeta: named},
		&admission.MutatingWebhookConfiguration{ObjectMeta: named},
	)
	c := &cluster{client: client}
	require.NoError(t, c.nudge(t.Context()))
	one, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(
		t.Context(), webhookName, metav1.GetOptions{})
	require.NoError(t, err)
	two, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(
		t.Context(), webhookName, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Contains(t, one.Annotations, "certquake.dev/nudged")
	assert.Contains(t, two.Annotations, "certquake.dev/nudged")
	assert.Empty(t, one.Webhooks)

	c.client = fake.NewClientset()
	err = c.nudge(t.Context())
	assert.True(t, apierrors.IsNotFound(err), err)
}
