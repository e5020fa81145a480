{{- define "ticketproxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- /* At most 52 characters, so that a suffix still fits into a label. */}}
{{- define "ticketproxy.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := include "ticketproxy.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ticketproxy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ticketproxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ticketproxy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "ticketproxy.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Not the gateway's: the Service would send requests to the test. */}}
{{- define "ticketproxy.testSelectorLabels" -}}
app.kubernetes.io/name: {{ include "ticketproxy.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ticketproxy.clientLabel" -}}
{{ include "ticketproxy.fullname" . }}-client
{{- end }}

{{- define "ticketproxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "ticketproxy.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* The Secret that has the state, if the state is in one. */}}
{{- define "ticketproxy.stateSecret" -}}
{{- default (printf "%s-state" (include "ticketproxy.fullname" .)) .Values.state.existingSecret }}
{{- end }}

{{- /* Not empty if Pods may share the state. A volume attaches to one node only. */}}
{{- define "ticketproxy.shared" -}}
{{- if ne .Values.state.type "file" }}true{{ end }}
{{- end }}

{{- /* Not empty if there may be several Pods. */}}
{{- define "ticketproxy.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}true{{ end }}
{{- end }}

{{- define "ticketproxy.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{- /* The ports of the upstreams, ascending, each once, separated by blanks. */}}
{{- define "ticketproxy.ports" -}}
{{- $ports := list }}
{{- range .Values.upstreams }}
{{- $ports = append $ports (printf "%05d" (int (default 8080 .port))) }}
{{- end }}
{{- range $i, $port := $ports | uniq | sortAlpha }}
{{- if $i }} {{ end }}{{ $port | trimPrefix "0" }}
{{- end }}
{{- end }}

{{- /* The Secret of an upstream's credentials, and the key of each. */}}
{{- define "ticketproxy.credentials" -}}
{{- $u := .upstream }}
{{- if eq .root.Values.role "reader" }}
{{- /* A reader has no credentials. */}}
{{- dict "clientSecret" "" "refreshToken" "" | toYaml }}
{{- else if $u.existingSecret }}
{{- $keys := default (dict) $u.existingSecretKeys }}
{{- $hasNone := eq "none" (default (ternary "none" "" (eq $u.provider "socialboards")) $u.clientAuth) }}
secret: {{ $u.existingSecret | quote }}
clientSecret: {{ ternary $keys.clientSecret (ternary "" "client-secret" $hasNone) (hasKey $keys "clientSecret") | quote }}
{{- $noSeed := eq "client_credentials" (default "" $u.grant) }}
refreshToken: {{ ternary $keys.refreshToken (ternary "" "refresh-token" $noSeed) (hasKey $keys "refreshToken") | quote }}
{{- else }}
secret: {{ include "ticketproxy.fullname" .root | quote }}
clientSecret: {{ ternary (printf "%s-client-secret" .name) "" (not (empty $u.clientSecret)) | quote }}
refreshToken: {{ ternary (printf "%s-refresh-token" .name) "" (not (empty $u.refreshToken)) | quote }}
{{- end }}
{{- end }}

{{- /* The data of the chart's own Secret; empty if all Secrets are existing ones. */}}
{{- define "ticketproxy.secretData" -}}
{{- range $name, $u := .Values.upstreams }}
{{- with $u.clientSecret }}
{{ $name }}-client-secret: {{ b64enc . }}
{{- end }}
{{- with $u.refreshToken }}
{{ $name }}-refresh-token: {{ b64enc . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* 90% of the memory limit: near it, the garbage collector runs more often, before the kernel kills. */}}
{{- define "ticketproxy.goMemLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString }}
{{- if regexMatch "^[0-9]+[MG]i$" $limit }}
{{- $mebibytes := regexFind "^[0-9]+" $limit | int }}
{{- if hasSuffix "Gi" $limit }}{{ $mebibytes = mul $mebibytes 1024 }}{{ end }}
{{- div (mul $mebibytes 9) 10 }}MiB
{{- end }}
{{- end }}

{{- /* The checks that the schema cannot express. */}}
{{- define "ticketproxy.validate" -}}
{{- if not .Values.image.repository }}
{{- fail "\n\nimage.repository is empty: say where you have pushed the image." }}
{{- end }}
{{- if not .Values.upstreams }}
{{- fail "\n\nupstreams is empty: name at least one API." }}
{{- end }}
{{- include "ticketproxy.validateState" . }}
{{- $endpoints := dict }}
{{- range $name, $u := .Values.upstreams }}
{{- $at := printf "upstreams.%s" $name }}
{{- if $u.account }}
{{- $owner := get $.Values.upstreams $u.account }}
{{- if or (not $owner) (eq $u.account $name) }}
{{- fail (printf "\n\n%s.account is %q, which is not another upstream." $at $u.account) }}
{{- end }}
{{- if or $u.clientId $u.existingSecret $u.clientSecret $u.refreshToken }}
{{- fail (printf "\n\n%s has credentials, but uses the account of %q: leave them out." $at $u.account) }}
{{- end }}
{{- else }}
{{- if not $u.provider }}
{{- fail (printf "\n\n%s.provider is missing: values.yaml names all." $at) }}
{{- end }}
{{- if and (not $u.clientId) (ne $.Values.role "reader") }}
{{- fail (printf "\n\n%s.clientId is missing." $at) }}
{{- end }}
{{- if and $u.existingSecret (or $u.clientSecret $u.refreshToken) }}
{{- fail (printf "\n\n%s has existingSecret, and clientSecret or refreshToken besides: keep one of the two." $at) }}
{{- end }}
{{- if and $u.existingSecretKeys (not $u.existingSecret) }}
{{- fail (printf "\n\n%s has existingSecretKeys, but no existingSecret." $at) }}
{{- end }}
{{- end }}
{{- $port := int (default 8080 $u.port) }}
{{- if eq $port 9090 }}
{{- fail (printf "\n\n%s.port is 9090, which is that of health and metrics: choose another." $at) }}
{{- end }}
{{- $endpoint := printf "%d %s %s" $port (default "" $u.host) (default "/" $u.prefix) }}
{{- if hasKey $endpoints $endpoint }}
{{- fail (printf "\n\n%s and upstreams.%s have the same port, host and prefix: give them different ones." $at (get $endpoints $endpoint)) }}
{{- end }}
{{- $_ := set $endpoints $endpoint $name }}
{{- end }}
{{- include "ticketproxy.validateCallers" . }}
{{- include "ticketproxy.validateEnvironment" . }}
{{- end }}

{{- /* A variable that is set twice has the value of one of the two, without a word. Other parts
of the chart depend on state and role, so these are always the chart's. */}}
{{- define "ticketproxy.validateEnvironment" -}}
{{- $own := list "TICKETPROXY_STATE" "TICKETPROXY_STATE_FILE" "TICKETPROXY_ROLE" }}
{{- range include "ticketproxy.ownEnvironment" . | fromYamlArray }}
{{- $own = append $own .name }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if has .name $own }}
{{- fail (printf "\n\nextraEnv has %s, which the chart sets: leave it out of extraEnv,\nand use the chart's own value for it." .name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ticketproxy.validateState" -}}
{{- if and (eq .Values.state.type "postgres") (not .Values.state.existingSecret) }}
{{- fail "\n\nstate.existingSecret is empty: name the Secret with the URL of the database." }}
{{- end }}
{{- if eq .Values.role "reader" }}
{{- if not (has .Values.state.type (list "kubernetes" "postgres")) }}
{{- fail (printf "\n\nA reader needs a state that refreshers share, and state.type is %s:\nset state.type to kubernetes or postgres." .Values.state.type) }}
{{- end }}
{{- if not .Values.state.existingSecret }}
{{- fail "\n\nstate.existingSecret is empty: name the Secret of the refreshers' state." }}
{{- end }}
{{- range $name, $u := .Values.upstreams }}
{{- if or $u.existingSecret $u.clientSecret $u.refreshToken }}
{{- fail (printf "\n\nupstreams.%s has credentials, but a reader must have none: leave them out." $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (include "ticketproxy.several" .) (not (include "ticketproxy.shared" .)) }}
{{- fail "\n\nSeveral Pods cannot share the volume of state.type=file, which attaches to one node:\nset state.type=kubernetes, or replicaCount=1 and autoscaling.enabled=false." }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "\n\nautoscaling.minReplicas is more than autoscaling.maxReplicas." }}
{{- end }}
{{- if and .Values.state.existingSecret (not (has .Values.state.type (list "kubernetes" "postgres"))) }}
{{- fail (printf "\n\nstate.existingSecret is set, but state.type is %s, which has no Secret." .Values.state.type) }}
{{- end }}
{{- if and .Values.state.existingClaim (ne .Values.state.type "file") }}
{{- fail (printf "\n\nstate.existingClaim is set, but state.type is %s, which has no claim." .Values.state.type) }}
{{- end }}
{{- if and (eq .Values.state.type "kubernetes") .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "\n\nThe ServiceAccount \"default\" is that of other Pods, too, and they could read the tokens:\nset serviceAccount.name, or serviceAccount.create=true." }}
{{- end }}
{{- end }}
