package process

import "syscall"

// attributes keep Ctrl-C at the terminal from the servers, which we end ourselves,
// and end them should we be killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
