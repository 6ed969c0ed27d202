// Package deploy holds what runs a fleet, and the tests that hold it to the
// promises: haproxy.cfg here, docker-compose.yml and Dockerfile above.
package deploy
