package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy is a stretch of network between a client and a server, which can be made
// worse. It is our own because what matters most here, a connection that is dead for
// both sides and stays so when the network is well again, libraries end by closing it.
type Proxy struct {
	name    string
	address string

	mu       sync.Mutex
	target   string
	state    NetworkState
	delay    time.Duration
	changed  chan struct{} // closed when the state changes
	listener net.Listener  // nil while connections are refused
	links    map[*link]struct{}
	closed   bool
	tasks    sync.WaitGroup
}

// NetworkState is what the network does to connections.
type NetworkState string

// The states.
const (
	Healthy       NetworkState = "healthy"
	Delayed       NetworkState = "delay"          // data arrives late
	DropResponses NetworkState = "drop-responses" // requests arrive, and the response breaks the connection
	HalfOpen      NetworkState = "half-open"      // nothing arrives and neither side is told, on new connections too
	Refused       NetworkState = "refuse"         // connections break, and new ones are refused
	RefuseNew     NetworkState = "refuse-new"     // new connections are refused, the others go on
)

// link is a connection through the proxy.
type link struct {
	client, server *net.TCPConn
	dead           bool // for good: what is sent vanishes
}

// NewProxy returns a proxy that listens on address. Close it.
func NewProxy(name, address, target string) (*Proxy, error) {
	p := &Proxy{name: name, address: address, target: target, state: Healthy, changed: make(chan struct{}), links: map[*link]struct{}{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p, p.listen()
}

// listen begins to take connections. The caller holds the lock.
func (p *Proxy) listen() error {
	if p.listener != nil {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", p.address)
	if err != nil {
		return fmt.Errorf("the proxy %s: %w", p.name, err)
	}
	p.listener = listener
	p.tasks.Go(func() { p.accept(listener) })
	return nil
}

// Address is where clients connect.
func (p *Proxy) Address() string { return p.address }

// Name is what the proxy is between.
func (p *Proxy) Name() string { return p.name }

// SetTarget has connections from now on lead to another server.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Open returns how many connections there are.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Set changes the state. What was dead stays dead, and its server learns of it now.
func (p *Proxy) Set(state NetworkState, delay time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.delay = state, delay
	close(p.changed)
	p.changed = make(chan struct{})
	switch state {
	case Refused, RefuseNew:
		if p.listener != nil {
			_ = p.listener.Close() // it may be closed
			p.listener = nil
		}
		if state == Refused {
			p.cut()
		}
		return nil
	case HalfOpen:
		for l := range p.links {
			l.dead = true
		}
	case Healthy, Delayed, DropResponses:
		for l := range p.links {
			if l.dead && l.server != nil {
				reset(l.server)
			}
		}
	}
	return p.listen()
}

// Cut breaks every connection, with a reset for both sides.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

// cut needs the lock.
func (p *Proxy) cut() {
	for l := range p.links {
		l.reset()
	}
}

func (l *link) reset() {
	reset(l.client)
	if l.server != nil {
		reset(l.server)
	}
}

// reset closes a connection so that the other side is told that it broke.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // fails on what is closed already
	_ = c.Close()
}

// Close ends everything.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		_ = p.listener.Close() // nobody is there to be told
	}
	p.cut()
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.tasks.Wait()
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // that client's bad luck
		}
		p.tasks.Go(func() { p.carry(conn.(*net.TCPConn)) })
	}
}

const dialTimeout = 2 * time.Second

// carry is the life of a connection.
func (p *Proxy) carry(client *net.TCPConn) {
	l := &link{client: client}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		reset(client)
		return
	}
	p.links[l] = struct{}{}
	l.dead = p.state == HalfOpen
	dead, target := l.dead, p.target
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	if dead {
		p.pump(l, client, nil, false)
		_ = client.Close() // it has hung up
		return
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(context.Background(), "tcp", target)
	if err != nil {
		reset(client) // the nearest to being refused that is left
		return
	}
	p.mu.Lock()
	l.server = conn.(*net.TCPConn)
	closed := p.closed
	p.mu.Unlock()
	if closed {
		l.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, client, l.server, false) })
	both.Go(func() { p.pump(l, l.server, client, true) })
	both.Wait()
	_ = client.Close() // both sides have ended
	_ = l.server.Close()
}

// parcel is what was read at once.
type parcel struct {
	text []byte
	due  time.Time // when it arrives; zero: at once
	last bool      // the side has ended
	cut  bool      // the side has broken the connection
}

// maxUnderway is how many parcels are on their way: more than a delay is to hold up. A
// network has latency, and not less room for what is large.
const maxUnderway = 256

// pump carries what one side says to the other, as the state has it.
func (p *Proxy) pump(l *link, from, to *net.TCPConn, answers bool) {
	way := make(chan parcel, maxUnderway)
	var delivered sync.WaitGroup
	delivered.Go(func() { p.deliver(l, way, to) })
	defer delivered.Wait()
	defer close(way)
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		p.mu.Lock()
		dead, state, delay := l.dead, p.state, p.delay
		p.mu.Unlock()
		switch {
		case dead && err == nil:
			continue
		case dead:
			return // the other side hears nothing, not even that
		case state == DropResponses && answers && n > 0:
			l.reset()
			return
		}
		next := parcel{text: buffer[:n], last: err != nil, cut: err != nil && !errors.Is(err, io.EOF)}
		if state == Delayed {
			next.due = time.Now().Add(delay)
		}
		way <- next
		if err != nil {
			return
		}
	}
}

// deliver hands parcels over when they are due.
func (p *Proxy) deliver(l *link, way <-chan parcel, to *net.TCPConn) {
	lost := false
	for next := range way {
		if lost = lost || !p.await(l, next.due); lost {
			continue // so that who reads isn't held up
		}
		if len(next.text) > 0 {
			if _, err := to.Write(next.text); err != nil {
				l.reset()
				lost = true
				continue
			}
		}
		switch {
		case next.cut:
			l.reset() // as a network passes a reset on
		case next.last:
			_ = to.CloseWrite() // it may have closed too
		}
	}
}

// await returns when a parcel is due, or at once when there are no more delays. It says
// whether there still is somebody to get it.
func (p *Proxy) await(l *link, due time.Time) bool {
	for {
		p.mu.Lock()
		gone, delayed, changed := p.closed || l.dead, p.state == Delayed, p.changed
		p.mu.Unlock()
		left := time.Until(due)
		if gone || !delayed || left <= 0 {
			return !gone
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-changed:
		}
		timer.Stop()
	}
}
