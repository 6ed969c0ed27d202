//go:build !race

package check_test

// longest is the length of the longest history that is checked, in operations.
const longest = 1_000_000
