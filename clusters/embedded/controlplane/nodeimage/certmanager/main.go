// Certmanager is the program of cert-manager's three images, made from cert-manager's own
// packages: upstream's programs are modules of their own that no module proxy has. It takes the
// flags that cert-manager's chart passes, so that the chart runs unchanged but for the names of
// the images.
//
//	certmanager controller|webhook|cainjector FLAG...
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	webhook "github.com/cert-manager/cert-manager/cmd/certquake-webhook"
	"github.com/cert-manager/cert-manager/pkg/logs"
	"github.com/spf13/pflag"
	logsapi "k8s.io/component-base/logs/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: certmanager controller|webhook|cainjector FLAG...")
		os.Exit(2)
	}
	parts := map[string]func(context.Context, []string) error{
		"controller": runController, "cainjector": runInjector,
		"webhook": func(ctx context.Context, args []string) error {
			return webhook.Run(ctx, logs.Log.WithName("webhook"), args)
		},
	}
	part := parts[os.Args[1]]
	if part == nil {
		fmt.Fprintf(os.Stderr, "certmanager: no part %q\n", os.Args[1])
		os.Exit(2)
	}
	logs.InitLogs()
	ctrl.SetLogger(logs.Log)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := part(logs.NewContext(ctx, logs.Log), os.Args[2:])
	stop()
	logs.FlushLogs()
	if err != nil {
		fmt.Fprintf(os.Stderr, "certmanager: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// parse reads a part's flags, and those of logging, which it applies.
func parse(flags *pflag.FlagSet, args []string) error {
	logging := logsapi.NewLoggingConfiguration()
	logs.AddFlags(logging, flags)
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("parse flags: %w", err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return logs.ValidateAndApply(logging)
}
