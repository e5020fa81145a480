package callers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Line returns the line of a place like callers.shop.listen; 0 when it is not known.
func (f File) Line(where string) int { return f.lines[where] }

// Check reports the upstreams and accounts of the file that are not those of the program, as
// an *Error.
func (f File) Check(upstreams, accounts []string) error {
	var r report
	exists := func(at, what, name string, known []string) {
		if !slices.Contains(known, name) {
			r.add(f.lines[at], at, quote(name)+" is not "+what+" of this program", hintFor(name, known))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Callers)) {
		at := "callers." + name
		for i, rule := range f.Callers[name].May {
			if rule.Upstream != "*" {
				exists(fmt.Sprintf("%s.may[%d].upstream", at, i), "an upstream", rule.Upstream, upstreams)
			}
		}
		for i, account := range f.Callers[name].Tokens {
			exists(fmt.Sprintf("%s.tokens[%d]", at, i), "an account", account, accounts)
		}
	}
	for _, account := range slices.Sorted(maps.Keys(f.Limits)) {
		exists("limits."+account, "an account", account, accounts)
	}
	return r.err()
}

// issuers checks that each issuer can be asked, and that no two are the same.
func (r *reader) issuers(f File) {
	byURL := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(f.Issuers)) {
		i, at := f.Issuers[name], "issuers."+name
		line := r.lines[at]
		switch {
		case r.blames(at + ".url"), r.blames(at + ".kubernetes"):
		case i.Kubernetes && i.URL != "":
			r.add(line, at, "has a url beside kubernetes: true", "remove the url: it is read from the pod's own token")
		case !i.Kubernetes && i.URL == "":
			r.add(line, at, "has no url", "write the claim iss of its tokens, or kubernetes: true for the cluster of this pod")
		}
		if len(i.Audiences) == 0 && !r.blames(at+".audience") {
			r.add(line, at, "has no audience", "write audience: ticketproxy, and have tokens made for it")
		}
		if i.Kubernetes && i.CAFile != "" {
			r.add(line, at, "has a caFile beside kubernetes: true", "remove it: the cluster's is used")
		}
		key := strings.TrimSuffix(i.URL, "/")
		if i.Kubernetes {
			key = "kubernetes: true"
		}
		if other, ok := byURL[key]; ok && key != "" {
			r.add(line, at, "is the same issuer as "+other, "keep one of the two; its audience may be a list")
		}
		byURL[key] = name
	}
}

// proofs gives each ServiceAccount its issuer, and checks that no proof is two callers'.
func (r *reader) proofs(f File) {
	cluster := ""
	for _, name := range slices.Sorted(maps.Keys(f.Issuers)) {
		if f.Issuers[name].Kubernetes {
			cluster = name
		}
	}
	var all []Caller // without mistakes
	for _, name := range slices.SortedFunc(maps.Keys(f.Callers), func(a, b string) int {
		return r.lines["callers."+a] - r.lines["callers."+b]
	}) {
		c, sound := f.Callers[name], !r.blames("callers."+name)
		for i := range c.JWTs {
			r.resolve(f, c, &c.JWTs[i], cluster)
		}
		r.ownKeys(c)
		if sound && len(all) < maxCallers {
			for _, other := range all {
				r.distinct(other, c)
			}
			all = append(all, c)
		}
	}
}

// resolve fills in the issuer of a ServiceAccount, and checks that there is the issuer of
// other tokens.
func (r *reader) resolve(f File, c Caller, j *JWT, cluster string) {
	if j.Issuer == "" {
		j.Issuer = cluster
		if at := "callers." + c.Name + ".serviceAccount"; cluster == "" && !r.blames("issuers") {
			r.add(r.lines[at], at, "needs the issuer of the cluster, and there is none",
				"write under issuers: cluster: {kubernetes: true, audience: ticketproxy}")
		}
		return
	}
	if _, ok := f.Issuers[j.Issuer]; !ok && !r.blames("issuers") {
		at := "callers." + c.Name + ".issuer"
		known := slices.Sorted(maps.Keys(f.Issuers))
		advice := "write it under issuers, with its url and audience"
		if len(known) > 0 {
			advice = hintFor(j.Issuer, known) + "; or write it under issuers"
		}
		r.add(r.lines[at], at, quote(j.Issuer)+" is not an issuer of this file", advice)
	}
}

// ownKeys checks that a caller's two keys differ.
func (r *reader) ownKeys(c Caller) {
	if len(c.Keys) == 2 && c.Keys[0] == c.Keys[1] {
		at := "callers." + c.Name + ".keys[1]"
		r.add(r.lines[at], at, "is the digest of the first key, too", "remove it, or write that of another key")
	}
}

// distinct checks that nothing proves both callers. The second stands later in the file.
func (r *reader) distinct(a, b Caller) {
	at := "callers." + b.Name
	clash := func(field, what, hint string) {
		at := at + "." + field
		line := r.lines[at]
		r.add(line, at, what+" the caller "+a.Name, hint)
	}
	for i, key := range b.Keys {
		if slices.Contains(a.Keys, key) {
			clash(fmt.Sprintf("keys[%d]", i), "is also a key of", "make a key for each caller: ticketproxy key NAME")
		}
	}
	for i, j := range b.JWTs {
		for _, k := range a.JWTs {
			if j.Issuer == k.Issuer && j.Subject.overlaps(k.Subject) && !disjoint(j.Claims, k.Claims) {
				clash(r.jwtField(b, i), "is proved by tokens that prove also",
					"write subjects or claims that no token can have both of")
			}
		}
	}
	if a.Certificate != nil && b.Certificate != nil && a.Certificate.overlaps(*b.Certificate) {
		clash("certificate", "is proved by certificates that prove also", "write names that no certificate can have both of")
	}
	if a.UID != nil && b.UID != nil && *a.UID == *b.UID {
		clash("uid", "is also the user of", "run the apps as different users, or give them keys")
	}
	if a.Listen != nil && b.Listen != nil && *a.Listen == *b.Listen {
		clash("listen", "is also the listener of", "choose another port")
	}
}

// jwtField returns the field from which a caller's tokens come.
func (r *reader) jwtField(c Caller, i int) string {
	if _, ok := r.lines["callers."+c.Name+".serviceAccount"]; ok && i == 0 {
		return "serviceAccount"
	}
	return "subject"
}
