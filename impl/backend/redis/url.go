package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// parseURL reads
//
//	redis://[[user]:password@]host[:port][,host[:port]]...[/database][?name=value&...]
//
// rediss:// is the same over TLS (1.2 or newer, the certificate checked against
// each host). Names after the question mark:
//
//	cluster=true          Redis Cluster: the hosts are some of its nodes, one is enough
//	master_name=NAME      Sentinel: the hosts are sentinels, NAME is their master
//	sentinel_username=U   credentials of the sentinels, which differ
//	sentinel_password=P   from those of the Redis servers before the @
//
// Several hosts need one of cluster and master_name; a database needs there not to
// be a cluster. User, password and values are percent-encoded. go-redis reads only
// single hosts this way, and net/url no list of hosts: hence this parser.
//
// Errors name what is wrong and never show any part of the URL: a password with an
// unencoded / or @ may stand anywhere in it.
func parseURL(text string) (*goredis.UniversalOptions, error) {
	o := &goredis.UniversalOptions{}
	scheme, rest, found := strings.Cut(strings.TrimSpace(text), "://")
	switch {
	case found && strings.EqualFold(scheme, "redis"):
	case found && strings.EqualFold(scheme, "rediss"):
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return nil, errors.New("must start with redis:// or rediss://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")

	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		authority = authority[at+1:]
		var userErr, passwordErr error
		o.Username, userErr = url.PathUnescape(user)
		o.Password, passwordErr = url.PathUnescape(password)
		if userErr != nil || passwordErr != nil {
			return nil, errors.New("the user or password is not percent-encoded correctly")
		}
	}
	if err := parseQuery(o, query); err != nil {
		return nil, err
	}
	if err := parseHosts(o, authority); err != nil {
		return nil, err
	}
	if path != "" {
		db, err := strconv.ParseUint(path, 10, 31)
		if err != nil {
			return nil, errors.New("the part after the host must be a database number; characters like / ? @ : in a password must be percent-encoded")
		}
		o.DB = int(db)
	}
	switch {
	case o.IsClusterMode && o.MasterName != "":
		return nil, errors.New("cluster and master_name exclude each other")
	case o.IsClusterMode && o.DB != 0:
		return nil, errors.New("a cluster has only database 0")
	case len(o.Addrs) > 1 && !o.IsClusterMode && o.MasterName == "":
		return nil, errors.New("several hosts need cluster=true or master_name")
	case o.MasterName == "" && (o.SentinelUsername != "" || o.SentinelPassword != ""):
		return nil, errors.New("sentinel_username and sentinel_password need master_name")
	}
	return o, nil
}

func parseQuery(o *goredis.UniversalOptions, query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the part after the question mark is not percent-encoded correctly")
	}
	for name, v := range values {
		if len(v) > 1 {
			return errors.New("a name after the question mark occurs twice")
		}
		switch name {
		case "cluster":
			if o.IsClusterMode, err = strconv.ParseBool(v[0]); err != nil {
				return errors.New("cluster must be true or false")
			}
		case "master_name":
			o.MasterName = v[0]
		case "sentinel_username":
			o.SentinelUsername = v[0]
		case "sentinel_password":
			o.SentinelPassword = v[0]
		default:
			return errors.New("after the question mark only cluster, master_name, sentinel_username and sentinel_password are known")
		}
	}
	return nil
}

func parseHosts(o *goredis.UniversalOptions, list string) error {
	port := "6379"
	if o.MasterName != "" {
		port = "26379" // the sentinels'
	}
	i := 0
	for text := range strings.SplitSeq(list, ",") {
		i++
		host := &url.URL{Host: text}
		name, p := host.Hostname(), host.Port()
		if p == "" {
			p = port
		}
		n, err := strconv.ParseUint(p, 10, 16)
		// url.URL takes a port that is no number as part of the name.
		bare := strings.HasPrefix(text, "[")
		if err != nil || n == 0 || (!bare && strings.Contains(name, ":")) || strings.ContainsAny(name, "@[] \t") || strings.HasSuffix(text, ":") {
			return fmt.Errorf("host %d of the list is not host or host:port", i)
		}
		if name == "" {
			name = "localhost"
		}
		o.Addrs = append(o.Addrs, net.JoinHostPort(name, p))
	}
	return nil
}
