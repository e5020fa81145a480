package config

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// postgresParameters are what the URL of a database may have after its question mark.
const postgresParameters = "application_name, channel_binding, connect_timeout, dbname, host, passfile, " +
	"password, port, search_path, sslcert, sslkey, sslmode, sslnegotiation, sslpassword, sslrootcert, sslsni, " +
	"target_session_attrs, user"

// otherPostgresParameters are those of libpq (postgresql.org, section 34.1.2) and of pgx that
// are not among postgresParameters.
const otherPostgresParameters = "client_encoding, database, fallback_application_name, gssdelegation, " +
	"gssencmode, gsslib, hostaddr, keepalives, keepalives_count, keepalives_idle, " +
	"keepalives_interval, krbsrvname, load_balance_hosts, max_protocol_version, min_protocol_version, options, " +
	"pool_health_check_period, pool_max_conn_idle_time, " +
	"pool_max_conn_lifetime, pool_max_conns, pool_min_conns, replication, require_auth, requirepeer, " +
	"requiressl, service, servicefile, ssl, ssl_max_protocol_version, ssl_min_protocol_version, sslcertmode, " +
	"sslcompression, sslcrl, sslcrldir, statement_cache_capacity, tcp_user_timeout, timezone"

// checkParameters returns the first mistake in what stands after the question mark. A name that
// nobody knows may be a part of a password, and is not shown.
func checkParameters(query string) error {
	hint := "the parameters are " + postgresParameters
	for i, parameter := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		name, _ = url.QueryUnescape(name) // url.ParseQuery has told of mistakes
		value, _ = url.PathUnescape(value)
		switch {
		case parameter == "":
		case slices.Contains(strings.Split(otherPostgresParameters, ", "), name):
			return &flaw{"has the parameter " + name + ", which has no use here", hint}
		case !slices.Contains(strings.Split(postgresParameters, ", "), name):
			return &flaw{fmt.Sprintf("has an unknown parameter, number %d after the question mark", i+1), hint}
		default:
			if want := wantedOf(name, value); want != "" {
				return &flaw{"has a value of the parameter " + name + " that is not possible", "write " + name + "=" + want}
			}
		}
	}
	return nil
}

// wantedOf says what a parameter may be; "" when it is that.
func wantedOf(name, value string) string {
	var values []string
	switch name {
	case "sslmode":
		values = []string{"verify-full", "disable", "allow", "prefer", "require", "verify-ca"}
	case "sslnegotiation":
		values = []string{"postgres", "direct"}
	case "sslsni":
		values = []string{"0", "1"}
	case "channel_binding":
		values = []string{"disable", "prefer", "require"}
	case "target_session_attrs":
		values = []string{"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}
	case "connect_timeout":
		if n, err := strconv.Atoi(value); err != nil || n < 0 || n > 600 {
			return "SECONDS, a number from 0 to 600"
		}
	case "search_path":
		if len(value) > 63 || strings.ContainsAny(value, ",\"\x00") {
			return "SCHEMA, the name of one schema"
		}
	}
	if len(values) == 0 || slices.Contains(values, value) {
		return ""
	}
	return strings.Join(values, " or ")
}
