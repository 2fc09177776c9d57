// Package webhook runs cert-manager's admission webhook, whose server lives below
// cert-manager's internal tree. This module may import it only because its own path lies
// below github.com/cert-manager/cert-manager/; it exports Run and nothing else.
package webhook

import (
	"context"
	"fmt"

	server "github.com/cert-manager/cert-manager/internal/webhook"
	"github.com/cert-manager/cert-manager/pkg/webhook/options"
	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
)

// Run serves the webhook with upstream's own flags until ctx ends. It blocks.
func Run(ctx context.Context, log logr.Logger, args []string) error {
	config, err := options.NewWebhookConfiguration()
	if err != nil {
		return fmt.Errorf("default configuration: %w", err)
	}
	flags := pflag.NewFlagSet("webhook", pflag.ContinueOnError)
	options.NewWebhookFlags().AddFlags(flags)
	options.AddConfigFlags(flags, config)
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("parse flags: %w", err)
	}
	webhook, err := server.NewCertManagerWebhookServer(log, *config)
	if err != nil {
		return fmt.Errorf("make server: %w", err)
	}
	return webhook.Run(ctx)
}
