//go:build !linux

package harness

import "syscall"

// processAttributes keep Ctrl-C at the terminal from a process, which its owner ends.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
