package harness

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// supervisor is a shell that runs a server and outlives us just long enough to
// end it: its standard input is a pipe that we hold, and when the pipe closes,
// because we said so or because we are gone, however we went, it stops the
// server and deletes its directory. It works wherever there is a shell.
//
//	$1 the directory, $2 the signal that stops the server, then the server
//
// Descriptor 3 carries the server's pid to us. A line on standard input says to
// keep the directory; one that is to outlive us, too, isn't named at all.
//
// A server that a test froze is woken before it is stopped, and so are its
// children, which would otherwise stay frozen for ever. The children are looked
// up in Linux's /proc, because slim images have no ps, or else by ps.
//
// The watchdog takes its sleep along when it is ended. Until it has one, $! is
// what it inherited: the server.
const supervisor = `
dir=$1 signal=$2
shift 2
"$@" </dev/null 3>&- &
pid=$!
echo "$pid" >&3
exec 3>&-
keep=
read -r keep
children() {
	if [ -r /proc/self/status ]; then
		grep -ls "^PPid:[[:space:]]*$pid\$" /proc/[0-9]*/status | tr -cd '0-9\n'
	else
		ps -A -o pid= -o ppid= | awk -v parent="$pid" '$2 == parent { print $1 }'
	fi
}
for frozen in $(children) "$pid"; do kill -s CONT "$frozen" 2>/dev/null; done
kill -s "$signal" "$pid" 2>/dev/null
(
	trap '[ "$!" = "$pid" ] || kill "$!"; exit' TERM
	sleep 10 &
	wait "$!"
	kill -s KILL "$pid"
) >/dev/null 2>&1 &
watchdog=$!
wait "$pid" 2>/dev/null
kill "$watchdog" 2>/dev/null
[ -n "$keep" ] || [ -z "$dir" ] || rm -rf "$dir"
`

// child is a server under its supervisor.
type child struct {
	supervisor *exec.Cmd
	hold       io.WriteCloser // the pipe whose end is the server's
	pid        int            // the server's own
}

// account is who a server runs as; nil means us.
type account struct{ uid, gid uint32 }

// supervise starts a server whose output goes to logFile. What is kept is never deleted.
func supervise(dir string, kept bool, stopSignal, logFile string, as *account, command ...string) (*child, error) {
	output, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the server's log: %w", err)
	}
	defer func() { _ = output.Close() }() // the server has a descriptor of its own
	pids, pidWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer func() { _ = pids.Close() }()      // it was read
	defer func() { _ = pidWriter.Close() }() // closed below, unless something failed before

	doomed := dir
	if kept {
		doomed = ""
	}
	// Not bound to a context: the pipe ends it.
	shell := exec.CommandContext(context.Background(), "/bin/sh", //nolint:gosec // a program that our own code names
		append([]string{"-c", supervisor, "supervisor", doomed, stopSignal}, command...)...)
	shell.Dir = dir
	shell.Stdout, shell.Stderr = output, output
	shell.ExtraFiles = []*os.File{pidWriter}
	// Ctrl-C reaches a terminal's whole process group: servers get theirs from
	// the pipe, when we are done.
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if as != nil {
		shell.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
	hold, err := shell.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	if err := shell.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", command[0], err)
	}
	_ = pidWriter.Close() // or the read below would wait for ourselves
	c := &child{supervisor: shell, hold: hold}
	line, err := bufio.NewReader(pids).ReadString('\n')
	if err == nil {
		c.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		c.end(false)
		return nil, fmt.Errorf("starting %s: %w", command[0], err)
	}
	return c, nil
}

// end stops the server and waits until it is gone. With keep its directory stays.
func (c *child) end(keep bool) {
	if keep {
		_, _ = io.WriteString(c.hold, "keep\n") // fails only when the shell is gone, and then nothing is deleted
	}
	_ = c.hold.Close()
	_ = c.supervisor.Wait() // its exit code is that of the last kill: it says nothing
}
