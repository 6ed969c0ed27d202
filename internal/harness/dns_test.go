package harness

import (
	"context"
	"net"
	"slices"
	"testing"
)

func TestDNS(t *testing.T) {
	t.Parallel()
	d, err := ServeDNS()
	must(t, err)
	defer func() { must(t, d.Close()) }()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", d.Address())
	}}
	if found, err := resolver.LookupHost(t.Context(), "api.test."); err == nil {
		t.Errorf("before any address: %v", found)
	}
	must(t, d.Set("127.0.0.2", "127.0.0.3"))
	found, err := resolver.LookupHost(t.Context(), "api.test.")
	if slices.Sort(found); err != nil || !slices.Equal(found, []string{"127.0.0.2", "127.0.0.3"}) {
		t.Errorf("%v, %v", found, err)
	}
	must(t, d.Set("127.0.0.3"))
	if found, err := resolver.LookupHost(t.Context(), "api.test."); err != nil || !slices.Equal(found, []string{"127.0.0.3"}) {
		t.Errorf("after a change: %v, %v", found, err)
	}
	if err := d.Set("::1"); err == nil {
		t.Error("an IPv6 address was taken")
	}
}
