package harness

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS answers the load balancer's queries for the replicas' addresses, as Docker's DNS does
// in a real fleet. Every name has the same addresses.
type DNS struct {
	conn   net.PacketConn
	served sync.WaitGroup

	mu        sync.Mutex
	addresses []netip.Addr
}

// ServeDNS starts a server on a free port of 127.0.0.1 that knows no address yet.
func ServeDNS() (*DNS, error) {
	conn, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving DNS: %w", err)
	}
	d := &DNS{conn: conn}
	d.served.Go(func() {
		buffer := make([]byte, 1500)
		for {
			length, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return // closed
			}
			if response, err := d.respond(buffer[:length]); err == nil {
				_, _ = conn.WriteTo(response, from) // a lost response is asked for again
			}
		}
	})
	return d, nil
}

// Address returns the server's host:port.
func (d *DNS) Address() string { return d.conn.LocalAddr().String() }

// Set replaces the addresses, which are IPv4's.
func (d *DNS) Set(addresses ...string) error {
	parsed := make([]netip.Addr, len(addresses))
	for i, text := range addresses {
		var err error
		if parsed[i], err = netip.ParseAddr(text); err != nil || !parsed[i].Is4() {
			return fmt.Errorf("serving DNS: %q is no IPv4 address", text)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addresses = parsed
	return nil
}

// Close ends the server.
func (d *DNS) Close() error {
	err := d.conn.Close()
	d.served.Wait()
	return err
}

// respond answers a query for addresses; there are none of IPv6.
func (d *DNS) respond(query []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, address := range d.addresses {
		if question.Type == dnsmessage.TypeA {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: address.As4()},
			})
		}
	}
	return message.Pack()
}
