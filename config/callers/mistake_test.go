package callers

import "testing"

func TestBlames(t *testing.T) {
	t.Parallel()
	var r report
	r.add(1, "callers.shop.may[2].paths[0]", "is wrong", "")
	r.add(2, "issuers.ci", "is wrong", "")
	r.add(0, "", "is wrong", "")
	for at, want := range map[string]bool{
		"callers": true, "callers.shop": true, "callers.shop.may": true, "callers.shop.may[2]": true, "callers.shop.may[2].paths[0]": true,
		"issuers": true, "issuers.ci": true,
		"callers.sho": false, "callers.shop2": false, "callers.shop.may[1]": false, "callers.shop.keys": false, "issuers.ci.url": false, "limits": false,
	} {
		if r.blames(at) != want {
			t.Errorf("%s: %v", at, !want)
		}
	}
}
