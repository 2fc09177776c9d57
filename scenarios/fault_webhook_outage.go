package scenarios

// WebhookOutage takes cert-manager's admission webhook down.
//
// Its configuration covers every CREATE and UPDATE of cert-manager's resources, status included,
// with failurePolicy Fail (deploy/charts/cert-manager/templates/webhook-validating-webhook.yaml).
// So no issuance can begin while it is down. Each waits and is tried again as the controllers of
// Certificates do, 1 s after the first refusal and twice as long after each further one, at most
// 30 s (cert-manager pkg/controller/util.go, DefaultCertificateRateLimiter): after the webhook's
// return it goes on at the next try. Secrets are none of cert-manager's resources: others can
// write them, but cert-manager cannot answer by issuing anew.
//
// Proof: the webhook was seen not to answer, and to answer again at its return.
type WebhookOutage struct {
	// For is how long, default 0s: to the end of the run.
	For Duration `json:"for,omitempty"`
}

func (f *WebhookOutage) check(c *checker, path string) { c.notNegative(path+".for", f.For) }

func (f *WebhookOutage) expand(e *expansion) {
	e.add(0, "stop", Action{Verb: StopWebhook, Note: "take cert-manager's webhook down"})
	if f.For > 0 {
		e.add(f.For, "start", Action{
			Verb: StartWebhook, Note: "bring cert-manager's webhook back",
		})
	}
}
