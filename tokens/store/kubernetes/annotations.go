package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ticketproxy/tokens"
)

// Annotations of the Secret, for people.
const (
	annotationGeneration = annotationPrefix + "generation"
	annotationExpires    = annotationPrefix + "expires"
	annotationState      = annotationPrefix + "state"
	annotationHolder     = annotationPrefix + "holder"
)

// annotationPrefix begins the names of all of them.
const annotationPrefix = "ticketproxy/"

// Helm removes a Secret that is no longer in a release's manifest, unless this annotation of
// the Secret itself says otherwise. A state that a login has made anew is in no manifest.
const (
	annotationHelm = "helm.sh/resource-policy"
	helmKeeps      = "keep"
)

// annotations returns what the Secret's annotations say of the records in its data, once a
// key has the given value. An annotation is nil when no record has one. If the Secret has the
// records of several accounts, an annotation lists them: "park=12 shop=4". One more tells Helm
// to keep the Secret.
func annotations(data map[string][]byte, key string, value []byte) map[string]*string {
	all := map[string][]byte{}
	maps.Copy(all, data)
	all[key] = value
	records := map[string]tokens.Record{}
	for key, value := range all {
		account, ok := strings.CutSuffix(key, keySuffix)
		if record, err := tokens.Decode(value); ok && err == nil {
			records[account] = record
		}
	}
	keeps := helmKeeps
	texts := map[string]*string{annotationHelm: &keeps}
	for name, text := range map[string]func(tokens.Record) string{
		annotationGeneration: func(r tokens.Record) string { return fmt.Sprint(r.Generation) },
		annotationExpires:    expires,
		annotationState:      state,
		annotationHolder:     holder,
	} {
		texts[name] = annotation(records, text)
	}
	return texts
}

// annotation returns one annotation's value.
func annotation(records map[string]tokens.Record, text func(tokens.Record) string) *string {
	var values []string
	for _, account := range slices.Sorted(maps.Keys(records)) {
		value := text(records[account])
		if value == "" {
			continue
		}
		if len(records) > 1 {
			value = account + "=" + value
		}
		values = append(values, value)
	}
	if values == nil {
		return nil
	}
	all := strings.Join(values, " ")
	return &all
}

// expires returns when the access token ends (RFC 3339); "" when that is not known.
func expires(r tokens.Record) string {
	if r.Grant.Expiry.IsZero() {
		return ""
	}
	return r.Grant.Expiry.UTC().Format(time.RFC3339)
}

func state(r tokens.Record) string {
	switch {
	case r.Dead != nil:
		return "dead"
	case r.Intent != nil:
		return "refreshing"
	}
	return "ready"
}

// holder returns the process that is refreshing; "" when none is.
func holder(r tokens.Record) string {
	if r.Intent == nil {
		return ""
	}
	return r.Intent.Holder
}
