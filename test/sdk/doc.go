// Package scenario holds what every SDK must get through, and the test that sends it there:
// see README.md. The test wants the build tag sdk.
package sdk
