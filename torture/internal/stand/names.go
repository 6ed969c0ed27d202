package stand

import (
	"context"
	"fmt"
	"net"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// names answers the balancer's questions for the replicas' addresses, as Docker's DNS
// does in a real fleet.
type names struct {
	conn      net.PacketConn
	addresses []string
	served    sync.WaitGroup
}

func serveNames(addresses []string) (*names, error) {
	conn, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving names: %w", err)
	}
	n := &names{conn: conn, addresses: addresses}
	n.served.Go(func() {
		buffer := make([]byte, 1500)
		for {
			length, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return // closed
			}
			if answer, err := n.answer(buffer[:length]); err == nil {
				_, _ = conn.WriteTo(answer, from) // lost answers are asked for again
			}
		}
	})
	return n, nil
}

func (n *names) address() string { return n.conn.LocalAddr().String() }

func (n *names) close() error {
	err := n.conn.Close()
	n.served.Wait()
	return err
}

// answer answers a query for addresses; there are none of IPv6.
func (n *names) answer(query []byte) ([]byte, error) {
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
	for _, address := range n.addresses {
		if question.Type == dnsmessage.TypeA {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(address).To4())},
			})
		}
	}
	return message.Pack()
}
