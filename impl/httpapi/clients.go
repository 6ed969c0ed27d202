package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
)

// clients finds out who sent a request.
type clients struct {
	trusted []netip.Prefix
}

func newClients(trusted []netip.Prefix) *clients { return &clients{trusted: trusted} }

// key returns what the client is counted under: its IPv4 address, or its IPv6
// /64 network, of which a single host can have every address.
func (c *clients) key(r *http.Request) string {
	addr, ok := c.address(r)
	if !ok {
		return "unknown"
	}
	if addr.Is4() {
		return addr.String()
	}
	network, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return network.Addr().String()
}

// address returns the client's address: the peer's, unless the peer is a trusted
// proxy. Then X-Forwarded-For is read from its end, which the nearest proxy
// wrote, to the first address that isn't a trusted proxy: everything before
// that may be made up. A hop that isn't an address ends the walk at the hop before.
func (c *clients) address(r *http.Request) (netip.Addr, bool) {
	peer, ok := parseHop(r.RemoteAddr)
	if !ok || !c.trusts(peer) {
		return peer, ok
	}
	client := peer
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for rest != "" {
			hop := rest
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				rest = ""
			}
			addr, ok := parseHop(strings.TrimSpace(hop))
			if !ok {
				return client, true
			}
			client = addr
			if !c.trusts(addr) {
				return client, true
			}
		}
	}
	return client, true
}

func (c *clients) trusts(addr netip.Addr) bool {
	for _, p := range c.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop reads an address as proxies write it: bare, with a port, in brackets,
// with a zone, or IPv4 in IPv6's clothes.
func parseHop(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		var withPort netip.AddrPort
		if withPort, err = netip.ParseAddrPort(text); err == nil {
			addr = withPort.Addr()
		} else if len(text) > 2 && text[0] == '[' && text[len(text)-1] == ']' {
			addr, err = netip.ParseAddr(text[1 : len(text)-1])
		}
	}
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.WithZone("").Unmap(), true
}
