package config_test

import (
	"slices"
	"strings"
	"testing"

	"ticketproxy/config"
	"ticketproxy/tokens/dialect"
)

// Each environment has exactly one mistake.
func TestWrongConfigurations(t *testing.T) {
	t.Parallel()
	files := testFiles{
		"/empty": "", "/newline": "\n", "/forbidden": "forbidden", "/padded": " x\n", "/two-lines": "x\ny\n",
		"/text": "no certificate", "/ca": bundle(t, 1), "/broken": bundle(t, 1) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"/key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	}
	generic := func(lines ...string) []string {
		return park(append([]string{"PROVIDER=generic", "UPSTREAM_URL=https://a.test", "TOKEN_URL=https://b.test/token"}, lines...)...)
	}
	for name, tt := range map[string]struct {
		vars                    []string
		variable, problem, hint string
	}{
		"no provider":           {park("PROVIDER="), "PROVIDER", "is required, but empty", "socialboards, openticket, ticketpark or generic"},
		"provider unset":        {vars("CLIENT_ID=x"), "PROVIDER", "is required", "write socialboards"},
		"provider misspelt":     {park("PROVIDER=ticketprak"), "PROVIDER", `"ticketprak" is not a provider`, `did you mean "ticketpark"?`},
		"provider unknown":      {park("PROVIDER=acme"), "PROVIDER", `"acme"`, "write socialboards, openticket"},
		"no client id":          {park("CLIENT_ID="), "CLIENT_ID", "is required, but empty", "set it"},
		"client id padded":      {park("CLIENT_ID= x"), "CLIENT_ID", "begins or ends with a blank", "copy it again"},
		"client id multiline":   {park("CLIENT_ID=x\ny"), "CLIENT_ID", "control character", "copy it again"},
		"client id not ASCII":   {park("CLIENT_ID=x\u200by"), "CLIENT_ID", "not ASCII", "copy it again"},
		"no client secret":      {vars("PROVIDER=ticketpark", "CLIENT_ID=x"), "CLIENT_SECRET", "is required", "TICKETPROXY_CLIENT_SECRET_FILE"},
		"secret for body":       {park("CLIENT_AUTH=body", "CLIENT_SECRET="), "CLIENT_SECRET", "is required, but empty", "set it"},
		"secret never used":     {park("PROVIDER=socialboards"), "CLIENT_SECRET", "is never used", "TICKETPROXY_CLIENT_AUTH"},
		"file never used":       {park("CLIENT_AUTH=none", "CLIENT_SECRET=", "CLIENT_SECRET_FILE=/text"), "CLIENT_SECRET_FILE", "is never used", "remove it"},
		"secret padded":         {park("CLIENT_SECRET=x "), "CLIENT_SECRET", "begins or ends", "copy it again"},
		"secret twice":          {park("CLIENT_SECRET_FILE=/text"), "CLIENT_SECRET", "also as TICKETPROXY_CLIENT_SECRET_FILE", "keep one"},
		"secret file missing":   {park("CLIENT_SECRET=", "CLIENT_SECRET_FILE=/none"), "CLIENT_SECRET_FILE", "does not exist", "readable file"},
		"secret file forbidden": {park("REFRESH_TOKEN_FILE=/forbidden"), "REFRESH_TOKEN_FILE", "may not be read", "readable file"},
		"secret file empty":     {park("REFRESH_TOKEN_FILE=/empty"), "REFRESH_TOKEN_FILE", "empty", "write the secret into"},
		"secret file a newline": {park("REFRESH_TOKEN_FILE=/newline"), "REFRESH_TOKEN_FILE", "empty", "write the secret into"},
		"secret file padded":    {park("REFRESH_TOKEN_FILE=/padded"), "REFRESH_TOKEN_FILE", "begins or ends", "copy it again"},
		"secret file of lines":  {park("REFRESH_TOKEN_FILE=/two-lines"), "REFRESH_TOKEN_FILE", "line break", "copy it again"},
		"seed multiline":        {park("REFRESH_TOKEN=x\ty"), "REFRESH_TOKEN", "control character", "copy it again"},

		"generic without API":       {generic("UPSTREAM_URL="), "UPSTREAM_URL", "is required", "https://api.example.com"},
		"generic without issuer":    {generic("TOKEN_URL="), "TOKEN_URL", "is required", "token endpoint"},
		"tokens off loopback":       {park("TOKEN_LISTEN=0.0.0.0:8082"), "TOKEN_LISTEN", "off loopback", "listen on 127.0.0.1"},
		"tokens though allowed":     {park("TOKEN_LISTEN=10.0.0.7:8082", "ALLOW_UNAUTHENTICATED=true"), "TOKEN_LISTEN", "off loopback", "Unix socket"},
		"tokens without a port":     {park("TOKEN_LISTEN=127.0.0.1"), "TOKEN_LISTEN", "is not host:port", "127.0.0.1:8080"},
		"tokens at the apps' port":  {park("TOKEN_LISTEN=localhost:8080"), "TOKEN_LISTEN", "is taken by TICKETPROXY_LISTEN", "another address"},
		"tokens at the admin port":  {park("TOKEN_LISTEN=127.0.0.1:9090"), "TOKEN_LISTEN", "is taken by TICKETPROXY_ADMIN_LISTEN", "another port"},
		"tokens at a socket":        {park("TOKEN_LISTEN=unix:/run/a", "LISTEN=unix:/run/a"), "TOKEN_LISTEN", "is taken by TICKETPROXY_LISTEN", "another address"},
		"URL without scheme":        {park("UPSTREAM_URL=api.park.test"), "UPSTREAM_URL", "not an absolute https URL", "https://api.example.com"},
		"URL of another scheme":     {park("UPSTREAM_URL=ftp://api.park.test"), "UPSTREAM_URL", "not an absolute https URL", "https://"},
		"URL without host":          {park("UPSTREAM_URL=https:///x"), "UPSTREAM_URL", "not an absolute https URL", "https://"},
		"URL broken":                {park("UPSTREAM_URL=https://a b"), "UPSTREAM_URL", "is not a URL", "https://"},
		"URL port":                  {park("TOKEN_URL=https://a.test:70000/x"), "TOKEN_URL", "not an absolute", "https://"},
		"URL http":                  {park("TOKEN_URL=http://api.park.test/token"), "TOKEN_URL", `uses http to "api.park.test"`, "write https://"},
		"URL http like loopback":    {park("UPSTREAM_URL=http://127.0.0.1.park.test"), "UPSTREAM_URL", "uses http", "write https://"},
		"URL http, any address":     {park("UPSTREAM_URL=http://0.0.0.0"), "UPSTREAM_URL", "uses http", "write https://"},
		"URL with credentials":      {park("UPSTREAM_URL=https://me:pw@api.park.test"), "UPSTREAM_URL", "must not hold credentials", "before the @"},
		"URL with query":            {park("UPSTREAM_URL=https://api.park.test/a?b=c"), "UPSTREAM_URL", "query", "remove the ?"},
		"URL with empty query":      {park("UPSTREAM_URL=https://api.park.test?"), "UPSTREAM_URL", "query", "remove the ?"},
		"URL with fragment":         {park("UPSTREAM_URL=https://api.park.test/#"), "UPSTREAM_URL", "fragment", "#"},
		"URL with dots":             {park("UPSTREAM_URL=https://api.park.test/v1/../v2"), "UPSTREAM_URL", "dot segment", "https://api.example.com/v2"},
		"URL with encoded base":     {park("UPSTREAM_URL=https://api.park.test/a%2Fb"), "UPSTREAM_URL", "cannot have", "https://api.example.com/v2"},
		"scope with a line break":   {park("SCOPE=a\nb"), "SCOPE", "cannot have", "separated by blanks"},
		"params not form-encoded":   {park("TOKEN_PARAMS=a=%zz"), "TOKEN_PARAMS", "not form-encoded", "audience="},
		"params without a name":     {park("TOKEN_PARAMS==x"), "TOKEN_PARAMS", "without a name", "audience="},
		"params of our own":         {park("TOKEN_PARAMS=audience=a&client_secret=x"), "TOKEN_PARAMS", "sets client_secret", "remove it"},
		"headers without a colon":   {park("TOKEN_HEADERS=X-Tenant: a, b"), "TOKEN_HEADERS", "without a colon", "%2C"},
		"headers with a bad name":   {park("TOKEN_HEADERS=X Tenant: a"), "TOKEN_HEADERS", "a name that", "X-Tenant"},
		"headers with a bad value":  {park("TOKEN_HEADERS=X-Tenant: a%0d%0ab"), "TOKEN_HEADERS", "a value that", "X-Tenant"},
		"headers of our own":        {park("TOKEN_HEADERS=authorization: x"), "TOKEN_HEADERS", "sets Authorization", "remove it"},
		"refused status of a name":  {park("REFUSED_STATUS=403,forbidden"), "REFUSED_STATUS", `"forbidden" is not a status`, "403,419"},
		"refused status of success": {park("REFUSED_STATUS=200"), "REFUSED_STATUS", `"200" is not a status`, "403,419"},
		"refused status of no kind": {park("REFUSED_STATUS=600"), "REFUSED_STATUS", `"600" is not a status`, "403,419"},
		"refused status 401":        {park("REFUSED_STATUS=401"), "REFUSED_STATUS", "always means that", "besides 401"},
		"issuer with a query":       {generic("ISSUER_URL=https://id.test/?a=b"), "ISSUER_URL", "must not have a query", "remove the ?"},
		"issuer without TLS":        {generic("ISSUER_URL=http://id.test"), "ISSUER_URL", "uses http", "write https://"},
		"grant unknown":             {park("GRANT=password"), "GRANT", `"password" is not known`, "refresh_token or client_credentials"},
		"grant of another provider": {park("GRANT=client_credentials"), "GRANT", `"ticketpark" has no client_credentials`, "remove it"},
		"grant of a public client":  {generic("GRANT=client_credentials", "CLIENT_AUTH=none", "CLIENT_SECRET="), "CLIENT_AUTH", "must not be none", "write body"},
		"grant with a seed":         {generic("GRANT=client_credentials", "REFRESH_TOKEN=x"), "REFRESH_TOKEN", "is never used", "remove it"},
		"grant with a seed's file":  {generic("GRANT=client_credentials", "REFRESH_TOKEN_FILE=/text"), "REFRESH_TOKEN_FILE", "is never used", "remove it"},
		"grant that rotates":        {generic("GRANT=client_credentials", "ROTATION=maybe"), "ROTATION", "is never used", "remove it"},
		"client auth unknown":       {park("CLIENT_AUTH=header"), "CLIENT_AUTH", `"header"`, "write none, body, basic or basic_plain"},
		"encoding unknown":          {park("TOKEN_ENCODING=xml"), "TOKEN_ENCODING", `"xml"`, "write form or json"},
		"rotation unknown":          {park("ROTATION=always"), "ROTATION", `"always"`, "write none, maybe or single_use"},
		"timeout without unit":      {park("TIMEOUT=60"), "TIMEOUT", `"60" is not a duration`, "write a unit, like 60s"},
		"timeout no number":         {park("TIMEOUT=soon"), "TIMEOUT", `"soon" is not a duration`, "60s"},
		"timeout zero":              {park("TIMEOUT=0s"), "TIMEOUT", "not longer than zero", "60s"},
		"timeout negative":          {park("TIMEOUT=-1s"), "TIMEOUT", "not longer than zero", "60s"},
		"drain negative":            {park("DRAIN_DELAY=-1s"), "DRAIN_DELAY", "is negative", "0s or more"},
		"drain timeout":             {park("DRAIN_TIMEOUT=1.5"), "DRAIN_TIMEOUT", "is not a duration", "a unit"},
		"drain timeout negative":    {park("DRAIN_TIMEOUT=-1ms"), "DRAIN_TIMEOUT", "is negative", "0s or more"},
		"boolean":                   {park("ALLOW_UNAUTHENTICATED=yes"), "ALLOW_UNAUTHENTICATED", `"yes" is neither`, "write true or false"},
		"boolean, quit":             {park("ADMIN_QUIT=on"), "ADMIN_QUIT", `"on" is neither`, "write true or false"},
		"log level":                 {park("LOG_LEVEL=trace"), "LOG_LEVEL", `"trace"`, "write debug, info, warn or error"},
		"log format":                {park("LOG_FORMAT=text"), "LOG_FORMAT", `"text"`, "write json or console"},
		"CA missing":                {park("CA_FILE=/none"), "CA_FILE", "does not exist", "PEM bundle"},
		"CA without certificate":    {park("CA_FILE=/text"), "CA_FILE", "without any certificate", "PEM bundle"},
		"CA only a key":             {park("CA_FILE=/key"), "CA_FILE", "without any certificate", "PEM bundle"},
		"CA broken":                 {park("CA_FILE=/broken"), "CA_FILE", "certificate 2 of the file is broken", "export"},
		"host with scheme":          {park("HOST=https://shop.test"), "HOST", "not a host name", "shop.localhost"},
		"host with port":            {park("HOST=shop.test:80"), "HOST", "has a port", "write the name alone: shop.test"},
		"host with wildcard":        {park("HOST=*.shop.test"), "HOST", "not a host name", "write the name"},
		"host broken address":       {park("HOST=1.2.3.400"), "HOST", "not a host name", "write the name"},
		"prefix relative":           {park("PREFIX=park"), "PREFIX", "does not begin with a slash", "/park"},
		"prefix with dots":          {park("PREFIX=/a/../b"), "PREFIX", "dot segment", "/park"},
		"prefix with two slashes":   {park("PREFIX=/a//"), "PREFIX", "empty", "/park"},
		"prefix encoded":            {park("PREFIX=/a%2f"), "PREFIX", "cannot have", "/park"},
		"prefix with query":         {park("PREFIX=/a?b"), "PREFIX", "cannot have", "/park"},

		"listen without host":    {park("LISTEN=:8080"), "LISTEN", `":8080" names no host`, "write 127.0.0.1:8080, or 0.0.0.0:8080"},
		"listen a port":          {park("LISTEN=8080"), "LISTEN", "not host:port", "127.0.0.1:8080"},
		"listen port too high":   {park("LISTEN=127.0.0.1:65536"), "LISTEN", "not host:port", "127.0.0.1:8080"},
		"listen a name":          {park("LISTEN=app.localhost:8080"), "LISTEN", "neither localhost nor an IP address", "127.0.0.1:8080"},
		"listen everywhere":      {park("LISTEN=0.0.0.0:8080"), "LISTEN", "off loopback", "TICKETPROXY_ALLOW_UNAUTHENTICATED=true"},
		"listen everywhere, v6":  {park("LISTEN=[::]:8080", "ALLOW_UNAUTHENTICATED=false"), "LISTEN", "off loopback", "127.0.0.1"},
		"listen on the network":  {park("LISTEN=192.0.2.1:0"), "LISTEN", "off loopback", "127.0.0.1"},
		"listen relative":        {park("LISTEN=unix:x.sock"), "LISTEN", "not an absolute path", "unix:/run/ticketproxy.sock"},
		"listen abstract":        {park("LISTEN=unix:@x"), "LISTEN", "not an absolute path", "unix:/"},
		"listen long path":       {park("LISTEN=unix:/" + strings.Repeat("x", 107)), "LISTEN", "longer than", "at most 100"},
		"listen is admin":        {park("LISTEN=127.0.0.1:9090"), "LISTEN", "taken by TICKETPROXY_ADMIN_LISTEN", "another port"},
		"listen overlaps admin":  {park("ADMIN_LISTEN=0.0.0.0:8080"), "LISTEN", "taken by TICKETPROXY_ADMIN_LISTEN", "another port"},
		"admin without host":     {park("ADMIN_LISTEN=:9090"), "ADMIN_LISTEN", "names no host", "127.0.0.1:9090"},
		"admin at a socket":      {park("ADMIN_LISTEN=unix:/x"), "ADMIN_LISTEN", "not host:port", "or off"},
		"state unknown":          {park("STATE=/var/lib/x"), "STATE", "none of the places", "file:/var/lib/ticketproxy"},
		"state relative":         {park("STATE=file:state"), "STATE", `"file:state" is not an absolute path`, "file:/var/lib"},
		"state of another host":  {park("STATE=file://host/dir"), "STATE", "not an absolute path", "file:/var/lib"},
		"state in a home":        {park("STATE=file:~/x"), "STATE", "not an absolute path", "file:/var/lib"},
		"state empty directory":  {park("STATE=file:"), "STATE", "not an absolute path", "file:/var/lib"},
		"state in no Secret":     {park("STATE=kubernetes:"), "STATE", "does not name a Secret", "kubernetes:NAMESPACE/NAME"},
		"state in a bad Secret":  {park("STATE=kubernetes:a/b/c"), "STATE", "does not name a Secret", "kubernetes:NAMESPACE/NAME"},
		"state in a wrong place": {park("STATE=kubernetes:A_b/c"), "STATE", "does not name a Secret", "kubernetes:NAMESPACE/NAME"},
		"state no server":        {park("STATE=postgres:///x?user=me"), "STATE", "where the server is", "host=/run/postgresql"},
		"state no user":          {park("STATE=postgres://db/x"), "STATE", "which user and which database", "USER@HOST/DATABASE"},
		"state no database":      {park("STATE=postgresql://me:pw@db/"), "STATE", "which user and which database", "USER@HOST/DATABASE"},
		"state no URL":           {park("STATE=postgres:me"), "STATE", "not a URL of PostgreSQL", "USER@HOST/DATABASE"},
		"state raw password":     {park("STATE=postgres://me:p@w@db/x"), "STATE", "not a URL of PostgreSQL", "percent-encode"},
		"state bad port":         {park("STATE=postgres://me@db:x/x"), "STATE", "port", "USER@HOST/DATABASE"},
		"state of a pool":        {park("STATE=postgres://me@localhost/x?pool_max_conns=4"), "STATE", "the parameter pool_max_conns", "search_path"},
		"state unknown value":    {park("STATE=postgres://me@localhost/x?a=b&zz=4"), "STATE", "unknown parameter, number 1", "search_path"},
		"state bad sslmode":      {park("STATE=postgres://me@localhost/x?sslmode=banana"), "STATE", "the parameter sslmode", "verify-full"},
		"state bad timeout":      {park("STATE=postgres://me@localhost/x?connect_timeout=abc"), "STATE", "the parameter connect_timeout", "SECONDS"},
		"state bad ports":        {park("STATE=postgres://me@/x?host=localhost&port=1,2"), "STATE", "one port", "USER@HOST"},
		"state without TLS":      {park("STATE=postgres://me@db/x?sslmode=require"), "STATE", "does not prove who", "verify-full"},
		"state of one far host":  {park("STATE=postgres://me@localhost,db/x?sslmode=prefer"), "STATE", "does not prove who", "verify-full"},
		"state twice":            {park("STATE=memory:", "STATE_FILE=/x"), "STATE", "given twice", "keep one"},
		"memory without a colon": {park("STATE=memory"), "STATE", "colon", "write memory:"},
		"memory, but it rotates": {park("STATE=memory:"), "STATE", `"ticketpark" at every restart, since they rotate (single_use)`, "file:/var/lib"},
		"memory, it may rotate":  {park("ROTATION=maybe", "STATE=memory:"), "STATE", "since they rotate (maybe)", "file:/var/lib"},
		"allowed host":           {park("ALLOWED_HOSTS=a.test,https://b.test"), "ALLOWED_HOSTS", `"https://b.test" is not a host name`, "tickets.internal:8080"},
		"allowed host wildcard":  {park("ALLOWED_HOSTS=*"), "ALLOWED_HOSTS", `"*"`, "tickets.internal"},
		"any origin":             {park("ALLOWED_ORIGINS=*"), "ALLOWED_ORIGINS", `"*" is not a web origin`, "https://app.example.com"},
		"null origin":            {park("ALLOWED_ORIGINS=null"), "ALLOWED_ORIGINS", `"null" is not a web origin`, "no null"},
		"origin with path":       {park("ALLOWED_ORIGINS=https://a.test/"), "ALLOWED_ORIGINS", "not a web origin", "no path"},
		"origin without scheme":  {park("ALLOWED_ORIGINS=a.test"), "ALLOWED_ORIGINS", "not a web origin", "https://"},

		"misspelt":              {park("TIMEOT=60s"), "TIMEOT", "is not a variable", "did you mean TICKETPROXY_TIMEOUT?"},
		"misspelt and empty":    {park("CLIENTID="), "CLIENTID", "is not a variable", "did you mean TICKETPROXY_CLIENT_ID?"},
		"unknown":               {park("COLOUR=blue"), "COLOUR", "is not a variable", "ticketproxy help env"},
		"bare prefix":           {park("=x"), "", "is not a variable", "ticketproxy help env"},
		"unknown port":          {park("PORT=8080"), "PORT", "is not a variable", "help env"},
		"file, no secret":       {park("CLIENT_ID_FILE=/text"), "CLIENT_ID_FILE", "is not a variable", "set TICKETPROXY_CLIENT_ID itself"},
		"unknown upstream":      {park("SHOP_PROVIDER=generic"), "SHOP_PROVIDER", "is not a variable", `if "shop" is an upstream, name it in TICKETPROXY_UPSTREAMS`},
		"misspelt upstream":     {two("SHIP_TIMEOUT=1s"), "SHIP_TIMEOUT", "is not a variable", "did you mean TICKETPROXY_SHOP_TIMEOUT?"},
		"variable, no name":     {two("TIMEOUT=1s"), "TIMEOUT", "belongs to no upstream", "write TICKETPROXY_PARK_TIMEOUT or TICKETPROXY_SHOP_TIMEOUT"},
		"file, no name":         {two("CLIENT_SECRET_FILE=/text"), "CLIENT_SECRET_FILE", "belongs to no upstream", "TICKETPROXY_PARK_CLIENT_SECRET_FILE"},
		"no names":              {vars("UPSTREAMS=,"), "UPSTREAMS", "names no upstream", "park,shop"},
		"name twice":            {two("UPSTREAMS=park,shop,park"), "UPSTREAMS", `names "park" twice`, "of its own"},
		"name in upper case":    {two("UPSTREAMS=park,shop,Big"), "UPSTREAMS", `"Big" is not a name`, "lower-case"},
		"name with underscore":  {two("UPSTREAMS=park,shop,a_b"), "UPSTREAMS", `"a_b" is not a name`, "lower-case"},
		"name too long":         {two("UPSTREAMS=park,shop," + strings.Repeat("x", 41)), "UPSTREAMS", "is not a name", "40 characters"},
		"name of a drain":       {two("UPSTREAMS=park,shop,drain"), "UPSTREAMS", "TICKETPROXY_DRAIN_TIMEOUT mean two things", "another name"},
		"name of the admin":     {two("UPSTREAMS=park,shop,admin"), "UPSTREAMS", "TICKETPROXY_ADMIN_LISTEN mean two things", "another name"},
		"name of a service":     {two("UPSTREAMS=park,shop,service"), "UPSTREAMS", "TICKETPROXY_SERVICE_HOST mean two things", "another name"},
		"named upstream":        {two("SHOP_TIMEOUT=60"), "SHOP_TIMEOUT", `"60" is not a duration`, "60s"},
		"unknown account":       {two("SHOP_ACCOUNT=parc"), "SHOP_ACCOUNT", `"parc" is not an upstream`, `did you mean "park"?`},
		"account, only one":     {park("ACCOUNT=shop"), "ACCOUNT", "there is but one", "TICKETPROXY_UPSTREAMS"},
		"account of a sharer":   {two("UPSTREAMS=park,shop,bar", "BAR_ACCOUNT=shop", "BAR_LISTEN=127.0.0.1:1", "BAR_UPSTREAM_URL=https://bar.test"), "BAR_ACCOUNT", `"shop" uses another`, "write park"},
		"account and id":        {two("SHOP_CLIENT_ID=x"), "SHOP_CLIENT_ID", `belongs to the account, which is that of "park"`, "TICKETPROXY_PARK_CLIENT_ID"},
		"account and secret":    {two("SHOP_CLIENT_SECRET=x"), "SHOP_CLIENT_SECRET", "belongs to the account", "remove it"},
		"account and file":      {two("SHOP_REFRESH_TOKEN_FILE=/text"), "SHOP_REFRESH_TOKEN_FILE", "belongs to the account", "TICKETPROXY_PARK_REFRESH_TOKEN_FILE"},
		"account and token URL": {two("SHOP_TOKEN_URL=https://x.test"), "SHOP_TOKEN_URL", "belongs to the account", "remove it"},
		"account and authorize": {two("SHOP_AUTHORIZE_URL=https://x.test"), "SHOP_AUTHORIZE_URL", "belongs to the account", "remove it"},
		"account and auth":      {two("SHOP_CLIENT_AUTH=none"), "SHOP_CLIENT_AUTH", "belongs to the account", "remove it"},
		"account and encoding":  {two("SHOP_TOKEN_ENCODING=form"), "SHOP_TOKEN_ENCODING", "belongs to the account", "remove it"},
		"account and rotation":  {two("SHOP_ROTATION=none"), "SHOP_ROTATION", "belongs to the account", "remove it"},
		"account and provider":  {two("SHOP_PROVIDER=generic"), "SHOP_PROVIDER", "not the provider of the account", "leave it out"},
		"account, same API":     {two("SHOP_UPSTREAM_URL="), "SHOP_UPSTREAM_URL", "is required", `a copy of "park"`},
		"one listener":          {two("SHOP_LISTEN="), "SHOP_LISTEN", `taken by the upstream "park"`, "TICKETPROXY_SHOP_HOST or TICKETPROXY_SHOP_PREFIX"},
		"one listener, one way": {two("SHOP_LISTEN=", "SHOP_PREFIX=/a/", "PARK_PREFIX=/a", "SHOP_HOST=A", "PARK_HOST=a"), "SHOP_LISTEN", "with the same HOST and PREFIX", "another port"},
		"listeners overlap":     {two("SHOP_LISTEN=localhost:8080"), "SHOP_LISTEN", "overlaps with TICKETPROXY_PARK_LISTEN", "the same address in both"},
		"listeners overlap, v4": {two("SHOP_LISTEN=0.0.0.0:8080", "ALLOW_UNAUTHENTICATED=1"), "SHOP_LISTEN", "overlaps with", "another port"},
		"listeners overlap, v6": {two("SHOP_LISTEN=[::]:8080", "ALLOW_UNAUTHENTICATED=1"), "SHOP_LISTEN", "overlaps with", "another port"},
		"one socket":            {two("SHOP_LISTEN=unix:/s", "PARK_LISTEN=unix:/s"), "SHOP_LISTEN", "taken by", "another port"},
		"mode without a socket": {park("SOCKET_MODE=0660"), "SOCKET_MODE", "is never used, since TICKETPROXY_LISTEN", "unix:"},
		"mode no number":        {park("LISTEN=unix:/s", "SOCKET_MODE=rw"), "SOCKET_MODE", "not a file mode in octal", "0660"},
		"mode not octal":        {park("LISTEN=unix:/s", "SOCKET_MODE=0680"), "SOCKET_MODE", "not a file mode in octal", "0660"},
		"mode too large":        {park("LISTEN=unix:/s", "SOCKET_MODE=1777"), "SOCKET_MODE", "not a file mode in octal", "0660"},
		"mode without owner":    {park("LISTEN=unix:/s", "SOCKET_MODE=060"), "SOCKET_MODE", "from its owner", "0600"},
		"one socket, two modes": {two("SHOP_LISTEN=unix:/s", "PARK_LISTEN=unix:/s", "SHOP_PREFIX=/a", "SHOP_SOCKET_MODE=0660"), "SHOP_SOCKET_MODE", "TICKETPROXY_PARK_SOCKET_MODE", "the same mode"},
		"path too long":         {park("LISTEN=unix:/" + strings.Repeat("x", 100) + "/s"), "LISTEN", "longer than", "at most 100"},
		"localhost is admin":    {park("LISTEN=localhost:9090"), "LISTEN", "taken by TICKETPROXY_ADMIN_LISTEN", "another port"},
		"mapped overlaps":       {two("SHOP_LISTEN=[::ffff:0.0.0.0]:8080", "ALLOW_UNAUTHENTICATED=1"), "SHOP_LISTEN", "overlaps with TICKETPROXY_PARK_LISTEN", "another port"},
		"one listener, named":   {two("SHOP_LISTEN="), "SHOP_LISTEN", "TICKETPROXY_PARK_LISTEN", "another port"},
		"memory of two":         {two("STATE=memory:"), "STATE", `"park"`, "file:/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := mistakes(t, tt.vars, files)
			i := slices.IndexFunc(wrong, func(m config.Mistake) bool { return m.Variable == "TICKETPROXY_"+tt.variable })
			if i < 0 {
				t.Fatalf("mistakes = %q, want one of %s", wrong, tt.variable)
			}
			if !strings.Contains(wrong[i].Problem, tt.problem) || !strings.Contains(wrong[i].Hint, tt.hint) {
				t.Errorf("mistake = %q, want %q with the hint %q", wrong[i], tt.problem, tt.hint)
			}
			if len(wrong) > 1 {
				t.Errorf("mistakes = %q, want one", wrong)
			}
		})
	}
}

func TestNoStateDir(t *testing.T) {
	t.Parallel()
	for _, home := range []string{"", "relative"} {
		_, err := config.Parse(config.Environment{Vars: park(), StateDir: home})
		if err == nil || !strings.Contains(err.Error(), "TICKETPROXY_STATE: is required\nhint: ") {
			t.Errorf("error with home %q = %v, want STATE required", home, err)
		}
	}
	if _, err := config.Parse(config.Environment{Vars: park("STATE=file:/state")}); err != nil {
		t.Error(err)
	}
}

func TestBrokenProvider(t *testing.T) {
	t.Parallel()
	_, err := config.Parse(config.Environment{Vars: park("PROVIDER=odd"), StateDir: "/state", Dialects: []dialect.Dialect{{Name: "odd", UpstreamURL: "http://odd.test", TokenURL: "https://odd.test"}}})
	const want = `TICKETPROXY_UPSTREAM_URL: the provider's default uses http to "odd.test", but tokens may go unencrypted to loopback hosts only
hint: say the URL, and report this as a bug
TICKETPROXY_CLIENT_AUTH: is required
hint: write none, body, basic or basic_plain
TICKETPROXY_TOKEN_ENCODING: is required
hint: write form or json
TICKETPROXY_ROTATION: is required
hint: write none, maybe or single_use`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	environment := two("ZZZ=1", "AAA=1", "SHOP_TIMEOUT=60", "SHOP_LISTEN=:1", "PARK_TIMEOUT=60", "PARK_CLIENT_ID=", "PARK_ROTATION=x",
		"STATE=x", "ADMIN_QUIT=x", "DRAIN_DELAY=x", "ALLOWED_HOSTS=/,//", "LISTEN=127.0.0.1:1", "X\x1b[31m=1")
	const want = `TICKETPROXY_STATE TICKETPROXY_ADMIN_QUIT TICKETPROXY_ALLOWED_HOSTS TICKETPROXY_ALLOWED_HOSTS TICKETPROXY_DRAIN_DELAY ` +
		`TICKETPROXY_PARK_CLIENT_ID TICKETPROXY_PARK_ROTATION TICKETPROXY_PARK_TIMEOUT TICKETPROXY_SHOP_LISTEN TICKETPROXY_SHOP_TIMEOUT ` +
		`"TICKETPROXY_X\x1b[31m" TICKETPROXY_AAA TICKETPROXY_LISTEN TICKETPROXY_ZZZ`
	for range 10 {
		var got []string
		for _, m := range mistakes(t, environment, nil) {
			got = append(got, m.Variable)
		}
		if strings.Join(got, " ") != want {
			t.Fatalf("mistakes = %s\nwant %s", strings.Join(got, " "), want)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	_, err := parse(park("TIMEOUT=60", "LOG_LEVEL=loud"), nil)
	const want = `TICKETPROXY_LOG_LEVEL: "loud" is not known here
hint: write debug, info, warn or error
TICKETPROXY_TIMEOUT: "60" is not a duration
hint: write a unit, like 60s`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
}
