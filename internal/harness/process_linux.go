package harness

import "syscall"

// processAttributes keep Ctrl-C at the terminal from a process, which its owner ends, and
// have the kernel end it should we be killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
