package postgres_test

import (
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// randomText doesn't compress.
func randomText(n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(byte('a' + rand.IntN(26)))
	}
	return b.String()
}

// Which way a proxy's bytes go.
type way int32

const (
	wayNone way = iota
	toServer
	toClient
)

// A proxy stands between a store and its server, and cuts the connection that
// carries a mark: before the statement arrives, or before its answer does.
type proxy struct {
	listener net.Listener
	target   string
	mark     string
	cut      atomic.Int32 // a way
	cuts     atomic.Int32 // how often it did
	accepted atomic.Int32 // connections so far
	dead     atomic.Int32 // so many of them, the oldest, are half-open: what is sent gets lost
	clients  sync.Map     // connections by their number, from 1
	done     sync.WaitGroup
}

// newProxy returns a proxy in front of the server of a database, and the
// database's URL through it.
func newProxy(t *testing.T, database, mark string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: u.Host, mark: mark}
	u.Host = l.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable") // the proxy reads along
	u.RawQuery = q.Encode()
	p.done.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.done.Wait()
	})
	return p, u.String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		var marked atomic.Bool
		number := p.accepted.Add(1)
		p.clients.Store(number, client)
		p.done.Go(func() { p.copy(server, client, toServer, number, &marked) })
		p.done.Go(func() { p.copy(client, server, toClient, number, &marked) })
	}
}

// bury closes the connections that are half-open: who said goodbye on them waits for an
// answer for long.
func (p *proxy) bury() {
	for number := range p.dead.Load() {
		if client, ok := p.clients.Load(number + 1); ok {
			_ = client.(net.Conn).Close()
		}
	}
}

func (p *proxy) copy(to, from net.Conn, direction way, number int32, marked *atomic.Bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if direction == toServer && strings.Contains(string(buf[:n]), p.mark) {
			marked.Store(true)
		}
		if n > 0 && marked.Load() && way(p.cut.Load()) == direction {
			p.cuts.Add(1)
			return
		}
		if err == nil && number <= p.dead.Load() {
			continue
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
