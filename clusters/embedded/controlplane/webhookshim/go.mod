module github.com/cert-manager/cert-manager/cmd/certquake-webhook

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/go-logr/logr v1.4.3
	github.com/spf13/pflag v1.0.10
)
