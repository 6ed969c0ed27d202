// Package scaleout holds tests of what a deployment grows into: Redis as a Cluster and
// behind Sentinel, PostgreSQL with a synchronous standby, many replicas. They are
// real, and under traffic one part of each fails. `go test -tags scaleout ./scaleout`
// runs them.
package scaleout
