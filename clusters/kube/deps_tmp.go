package kube

import (
	_ "github.com/cert-manager/cert-manager/pkg/client/clientset/versioned/typed/certmanager/v1"
	_ "github.com/fsnotify/fsnotify"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "k8s.io/client-go/kubernetes"
	_ "sigs.k8s.io/e2e-framework/klient"
)
