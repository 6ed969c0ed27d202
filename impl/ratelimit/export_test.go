package ratelimit

// Clients returns the number of clients remembered.
func (l *Limiter) Clients() (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.clients)
		s.mu.Unlock()
	}
	return n
}
