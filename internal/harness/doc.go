// Package harness starts, watches, breaks and stops real programs: PostgreSQL, Redis,
// HAProxy, a DNS server, a network between them, small disks, and the product itself. It
// knows no *testing.T, so that tests and programs share it: impl/testkit adapts it to
// tests, and the module test/ builds fleets from it.
//
// Everything gets a free port of the loopback network and a directory of its own; no
// server that somebody else runs is ever used. What the harness started ends with the
// process that started it, however that one ends.
package harness
