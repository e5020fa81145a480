package tokenendpoint_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	callersfile "ticketproxy/config/callers"
	"ticketproxy/proxy/inbound/authn"
	"ticketproxy/proxy/policy"
	"ticketproxy/proxy/tokenendpoint"
)

// Callers of a real file prove themselves by real keys, in each of the places where OAuth
// clients and curl put them.
func TestCallersOfAFile(t *testing.T) {
	t.Parallel()
	shopKey, shopDigest := authn.NewKey()
	erpKey, erpDigest := authn.NewKey()
	file, err := callersfile.Parse(fmt.Appendf(nil, `callers:
  shop: {keys: ["sha256:%s"], may: [], tokens: [park, gone]}
  erp: {keys: ["sha256:%s"], may: [{upstream: "*"}]}
`, hex.EncodeToString(shopDigest[:]), hex.EncodeToString(erpDigest[:])))
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := authn.New(authn.Config{File: file})
	if err != nil {
		t.Fatal(err)
	}
	rules := policy.New(file, nil)
	f := newFixture(func(c *tokenendpoint.Config) {
		c.Authorizer = tokenendpoint.Callers(authenticator, rules.MayHaveToken)
	})
	shop, erp := shopKey.Reveal(), erpKey.Reveal()
	for _, r := range []*http.Request{
		get("/token/park", basic("shop", shop)), get("/token/park", "Authorization: Bearer "+shop),
		get("/token/park", "Proxy-Authorization: Bearer "+shop), post("/token/park", "", basic("shop", shop)),
		post("/token/park", "&client_id=shop&client_secret="+shop), post("/token/park", "&client_id=shop", "Proxy-Authorization: bearer "+shop),
	} {
		f.serve(t, r)
	}
	for _, r := range []*http.Request{
		get("/token/park"), post("/token/park", "&client_id=erp&client_secret="+shop), post("/token/park", "", basic("erp", shop)),
		post("/token/park", "&client_id=shop&client_secret="+shop[:40]), post("/token/park", "&client_id=shop&client_secret=%00%0d%0a"),
		post("/token/park", "&client_id=erp", basic("shop", shop)), get("/token/park", "Authorization: Bearer "+canary),
		post("/token/park", "&client_id=shop:x&client_secret="+shop),
	} {
		if a := f.refuse(t, r, http.StatusUnauthorized, "unauthenticated"); strings.Contains(a.text, shop[4:20]) {
			t.Errorf("a part of the key is in %s", a.text)
		}
	}
	for _, account := range []string{"park", "shop", "gone", "nothing"} {
		f.refuse(t, post("/token/"+account, "&client_id=erp&client_secret="+erp), http.StatusForbidden, "forbidden")
	}
	f.refuse(t, post("/token/gone", "&client_id=shop&client_secret="+shop), http.StatusNotFound, "no_such_upstream")
}
