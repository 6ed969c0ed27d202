package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func newTestClients() *clients {
	return newClients([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")})
}

func TestClientIsFoundBehindProxies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"a direct client":                     {"192.0.2.1:1234", nil, "192.0.2.1"},
		"a direct client makes things up":     {"192.0.2.1:1234", []string{"198.51.100.7"}, "192.0.2.1"},
		"a proxy":                             {"10.0.0.1:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		"a proxy that says nothing":           {"10.0.0.1:1234", nil, "10.0.0.1"},
		"an empty header":                     {"10.0.0.1:1234", []string{""}, "10.0.0.1"},
		"the client makes things up":          {"10.0.0.1:1234", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7"},
		"several proxies":                     {"10.0.0.1:1234", []string{"1.1.1.1, 198.51.100.7, 10.9.9.9 ,10.8.8.8"}, "198.51.100.7"},
		"several lines":                       {"10.0.0.1:1234", []string{"1.1.1.1", "198.51.100.7", "10.9.9.9"}, "198.51.100.7"},
		"all of them trusted":                 {"10.0.0.1:1234", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		"garbage stops the walk":              {"10.0.0.1:1234", []string{"198.51.100.7, unknown, 10.2.2.2"}, "10.2.2.2"},
		"garbage next to us":                  {"10.0.0.1:1234", []string{"198.51.100.7, _hidden"}, "10.0.0.1"},
		"an empty hop":                        {"10.0.0.1:1234", []string{"198.51.100.7,,10.2.2.2"}, "10.2.2.2"},
		"with a port":                         {"10.0.0.1:1234", []string{"198.51.100.7:8080"}, "198.51.100.7"},
		"IPv6 with a port":                    {"10.0.0.1:1234", []string{"[2001:db8:1:2::3]:8080"}, "2001:db8:1:2::"},
		"IPv6 in brackets":                    {"10.0.0.1:1234", []string{"[2001:db8:1:2::3]"}, "2001:db8:1:2::"},
		"IPv6 bare":                           {"10.0.0.1:1234", []string{"2001:db8:1:2::3"}, "2001:db8:1:2::"},
		"IPv6 with a zone":                    {"10.0.0.1:1234", []string{"fe80::1%eth0"}, "fe80::"},
		"IPv4 in IPv6":                        {"10.0.0.1:1234", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		"a proxy over IPv6":                   {"[fd00::5]:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		"a proxy as IPv4 in IPv6":             {"[::ffff:10.0.0.1]:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		"a direct client over IPv6":           {"[2001:db8:1:2:aaaa::1]:1", nil, "2001:db8:1:2::"},
		"another address of the same network": {"[2001:db8:1:2:bbbb::2]:1", nil, "2001:db8:1:2::"},
		"an address of another network":       {"[2001:db8:1:3::1]:1", nil, "2001:db8:1:3::"},
		"a link-local client with a zone":     {"[fe80::1%lo]:1", nil, "fe80::"},
		"what is no address, as from a test":  {"pipe", nil, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{RemoteAddr: test.peer, Header: http.Header{"X-Forwarded-For": test.forwarded}}
			if got := newTestClients().key(r); got != test.want {
				t.Errorf("counted under %s, want %s", got, test.want)
			}
		})
	}
}

// FuzzClients: whatever the header says, an untrusted peer is counted under its own
// address, and what a trusted proxy's client is counted under is an address.
func FuzzClients(f *testing.F) {
	f.Add("198.51.100.7", "10.2.2.2, ::1")
	f.Add("[2001:db8::1]:80,", "unknown")
	f.Add("fe80::1%eth0", ",,,")
	f.Fuzz(func(t *testing.T, first, second string) {
		header := http.Header{"X-Forwarded-For": {first, second}}
		c := newTestClients()
		if got := c.key(&http.Request{RemoteAddr: "192.0.2.1:1", Header: header}); got != "192.0.2.1" {
			t.Errorf("an untrusted peer is counted under %s", got)
		}
		got := c.key(&http.Request{RemoteAddr: "10.0.0.1:1", Header: header})
		addr, err := netip.ParseAddr(got)
		if err != nil || addr.Zone() != "" || addr.Is4In6() {
			t.Errorf("counted under %q", got)
		}
		if got != "10.0.0.1" && addr.Is4() && !strings.Contains(first+" "+second, got) && !strings.Contains(strings.ToLower(first+second), "::ffff:") &&
			!strings.Contains(first+second, ":") {
			t.Errorf("counted under %s, which nobody named", got)
		}
	})
}

func TestPathsThatAreNotCleanAreNotRouted(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/": true, "/event": true, "/event/": true, "/stats/a.b": true, "/stats/%2e%2e": true, "/stats/a%2Fb": true,
		"": false, "*": false, "event": false, "//": false, "//event": false, "/a//b": false, "/./event": false, "/stats/..": false,
		"/stats/../event": false, "/stats/.": false, "/..": false, "/.": false, "/.well-known": true, "/stats/.a": true, "/stats/...": true,
	} {
		if got := isClean(path); got != want {
			t.Errorf("isClean(%q) = %t", path, got)
		}
	}
}
