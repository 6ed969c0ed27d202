package main

import (
	"errors"
	"time"

	"highload.example/analytics/internal/harness"
)

// meter measures the CPU time of each process between two moments.
type meter struct {
	server, postgres, redis int // pids; 0: there is none
	first, last             cpuTimes
}

// cpuTimes is the CPU time of each process, and of the whole machine.
type cpuTimes struct{ server, postgres, redis, generator, machine time.Duration }

// others is the CPU time of programs that have no part in the measurement.
func (c *cpuTimes) others() time.Duration {
	return max(0, c.machine-c.server-c.postgres-c.redis-c.generator)
}

func (m *meter) read() (c cpuTimes, err error) {
	var errs []error
	for pid, cpu := range map[int]*time.Duration{m.server: &c.server, m.postgres: &c.postgres, m.redis: &c.redis} {
		if pid != 0 {
			*cpu, err = harness.TreeCPU(pid)
			errs = append(errs, err)
		}
	}
	c.generator, err = harness.OwnCPU()
	errs = append(errs, err)
	c.machine, err = harness.MachineCPU()
	return c, errors.Join(append(errs, err)...)
}

// begin and end are the hooks of a load.
func (m *meter) begin() (err error) { m.first, err = m.read(); return err }
func (m *meter) end() (err error)   { m.last, err = m.read(); return err }

// spent returns the difference.
func (m *meter) spent() cpuTimes {
	return cpuTimes{
		server: m.last.server - m.first.server, postgres: m.last.postgres - m.first.postgres,
		redis: m.last.redis - m.first.redis, generator: m.last.generator - m.first.generator,
		machine: m.last.machine - m.first.machine,
	}
}
