package cli_test

// shared are the files that every script finds in its folder.
var shared = map[string]string{
	"akka-pki.yaml": pki,
	"tiny.yaml":     tiny,
	"long.yaml":     long,
	"swap.yaml":     swap,
}

// pki are a CA and a leaf that it signs.
const pki = `apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: self-signed-issuer}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: ca, namespace: default}
spec:
  issuerRef: {name: self-signed-issuer, kind: ClusterIssuer}
  secretName: ca
  commonName: ca
  duration: 8760h
  isCA: true
  privateKey: {rotationPolicy: Always, algorithm: ECDSA}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca-issuer, namespace: default}
spec: {ca: {secretName: ca}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: leaf, namespace: default}
spec:
  issuerRef: {name: ca-issuer}
  secretName: leaf
  dnsNames: [peer.example]
  duration: 24h
  renewBefore: 16h
  privateKey: {rotationPolicy: Always, algorithm: ECDSA}
`

// tiny ends in a moment, and passes.
const tiny = `apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: tiny}
spec:
  why: Two peers and one rotation, which a constant CA makes safe.
  params: {at: 5m, trust: bundle}
  manifests: [akka-pki.yaml]
  workloads:
    - {name: peer, tlsPeers: {replicas: 2, secret: leaf, trust: $(trust)}}
  load:
    - {workload: peer, newConnections: {rate: 1/s}}
  faults:
    - {at: $(at), rotateLeaf: {certificate: leaf}}
  horizon: 20m
`

// swap ends in a moment, and fails as expected unless there is enough hold.
const swap = `apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: swap}
spec:
  why: A new CA that is used before everybody trusts it.
  params: {hold: 0s, verdict: fail}
  manifests: [akka-pki.yaml]
  workloads:
    - {name: peer, tlsPeers: {replicas: 4, secret: leaf, trust: bundle}}
  load:
    - {workload: peer, newConnections: {rate: 1/s}}
  faults:
    - {at: 5m, swapCA: {certificate: ca, strategy: bundle, hold: $(hold)}}
  horizon: 30m
  expect: {verdict: $(verdict)}
`

// long goes on for minutes.
const long = `apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: long}
spec:
  why: Peers whose leaf is rotated every hour for a year.
  manifests: [akka-pki.yaml]
  workloads:
    - {name: peer, tlsPeers: {replicas: 300, secret: leaf}}
  load:
    - {workload: peer, newConnections: {rate: 10/s}}
  faults:
    - {at: 10m, repeat: {every: 1h, times: 8000}, rotateLeaf: {certificate: leaf}}
  horizon: 9000h
  expect: {verdict: inconclusive}
`
