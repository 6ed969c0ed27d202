package redis

import (
	"slices"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url                      string
		addrs                    []string
		user, password           string
		db                       int
		tls, cluster             bool
		master                   string
		sentinelUser, sentinelPw string
	}{
		{url: "redis://localhost:6379", addrs: []string{"localhost:6379"}},
		{url: " REDIS://localhost\n", addrs: []string{"localhost:6379"}},
		{url: "redis://", addrs: []string{"localhost:6379"}},
		{url: "redis://:7000/2", addrs: []string{"localhost:7000"}, db: 2},
		{url: "redis://h/", addrs: []string{"h:6379"}},
		{url: "redis://[::1]:7000/15", addrs: []string{"[::1]:7000"}, db: 15},
		{url: "redis://[2001:db8::1]", addrs: []string{"[2001:db8::1]:6379"}},
		{url: "redis://:secret@h", addrs: []string{"h:6379"}, password: "secret"},
		{url: "redis://user:p%40ss%2Fw%3Ard@h:1/0", addrs: []string{"h:1"}, user: "user", password: "p@ss/w:rd"},
		{url: "redis://user:p@ss@h", addrs: []string{"h:6379"}, user: "user", password: "p@ss"},
		{url: "redis://user:a+b:c@h", addrs: []string{"h:6379"}, user: "user", password: "a+b:c"},
		{url: "rediss://h:6380/1", addrs: []string{"h:6380"}, db: 1, tls: true},
		{url: "redis://h?cluster=true", addrs: []string{"h:6379"}, cluster: true},
		{url: "rediss://u:p@h1:7000,h2,[::1]:7002/?cluster=1", addrs: []string{"h1:7000", "h2:6379", "[::1]:7002"}, user: "u", password: "p", tls: true, cluster: true},
		{url: "redis://h1,h2:7/3?master_name=main", addrs: []string{"h1:26379", "h2:7"}, db: 3, master: "main"},
		{
			url: "redis://:p@h?master_name=my%20main&sentinel_username=su&sentinel_password=s%26p", addrs: []string{"h:26379"}, password: "p",
			master: "my main", sentinelUser: "su", sentinelPw: "s&p",
		},
	} {
		o, err := parseURL(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if !slices.Equal(o.Addrs, c.addrs) || o.Username != c.user || o.Password != c.password || o.DB != c.db || (o.TLSConfig != nil) != c.tls ||
			o.IsClusterMode != c.cluster || o.MasterName != c.master || o.SentinelUsername != c.sentinelUser || o.SentinelPassword != c.sentinelPw {
			t.Errorf("%s: %+v", c.url, o)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "hunter2", "http://hunter2@h", "redis:hunter2@h", "unix:///hunter2",
		"redis://:hunter2@h:port", "redis://:hunter2@h:0", "redis://:hunter2@h:65536", "redis://:hunter2@h:", "redis://:hunter2@h:1:2", "redis://:hunter2@[::1", "redis://:hunter2@::1",
		"redis://:hunter2@h1,h2", "redis://:hunter2@h1,,h2:x?cluster=true", "redis://:hunter2@h h",
		"redis://:hunter2@h/x", "redis://:hunter2@h/-1", "redis://:hunter2@h/1/2", "redis://:hunter2@h/99999999999",
		"redis://:hunter2@h/1?cluster=true", "redis://:hunter2@h?cluster=hunter2", "redis://:hunter2@h?cluster=true&master_name=m",
		"redis://:hunter2@h?master_name=m&master_name=n", "redis://:hunter2@h?sentinel_password=hunter2", "redis://h?hunter2=1", "redis://h?password=hunter2", "redis://h?x=%zzhunter2",
		"redis://:hunter2%zz@h", "redis://:x/hunter2@h", "redis://:x?hunter2@h", "redis://:hunter2#x@h:x", "redis://user:x/hunter2:@h",
	} {
		o, err := parseURL(url)
		if err == nil {
			t.Errorf("%s was accepted as %+v", url, o)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a part of the URL: %v", err)
		}
	}
}

// FuzzParseURL: no input breaks the parser, and what it accepts has hosts.
func FuzzParseURL(f *testing.F) {
	for _, url := range []string{"redis://u:p@h1:1,h2/3?cluster=true", "rediss://[::1]:1/?master_name=m", "redis://@:,/?&=%"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		o, err := parseURL(url)
		if err == nil && (len(o.Addrs) == 0 || o.DB < 0) {
			t.Errorf("%q: %+v", url, o)
		}
	})
}

func TestValidNamespace(t *testing.T) {
	t.Parallel()
	for namespace, valid := range map[string]bool{
		"0192f0c1-7e1b-7000-8000-000000000001": true, "a:b.c_d": true, "": false, "a b": false, "a{b": false, "a}b": false, "é": false, "a\n": false,
	} {
		if validNamespace(namespace) != valid {
			t.Errorf("%q: expected %t", namespace, valid)
		}
	}
}
