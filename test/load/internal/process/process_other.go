//go:build !linux

package process

import "syscall"

// attributes keep Ctrl-C at the terminal from the servers, which we end ourselves.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
