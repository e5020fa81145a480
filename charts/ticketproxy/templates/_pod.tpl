{{- /* The environment and volumes of the gateway's container and of helm test's. */}}

{{- define "ticketproxy.environment" -}}
{{- include "ticketproxy.ownEnvironment" . }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What the chart itself sets. */}}
{{- define "ticketproxy.ownEnvironment" -}}
{{- $fullname := include "ticketproxy.fullname" . }}
{{- $service := printf "%s.%s" $fullname .Release.Namespace }}
{{- $qualified := printf "%s.svc.%s" $service .Values.gateway.clusterDomain }}
{{- $hosts := concat (list $fullname $service (printf "%s.svc" $service) $qualified) .Values.gateway.allowedHosts -}}
- name: TICKETPROXY_UPSTREAMS
  value: {{ keys .Values.upstreams | sortAlpha | join "," | quote }}
{{- range $name, $u := .Values.upstreams }}
{{- $prefix := include "ticketproxy.prefix" $name }}
- name: {{ $prefix }}_LISTEN
  value: "0.0.0.0:{{ int (default 8080 $u.port) }}"
{{- range $variable, $key := dict
  "PROVIDER" "provider" "CLIENT_ID" "clientId" "ACCOUNT" "account" "HOST" "host" "PREFIX" "prefix"
  "UPSTREAM_URL" "upstreamUrl" "ISSUER_URL" "issuerUrl" "TOKEN_URL" "tokenUrl" "AUTHORIZE_URL" "authorizeUrl"
  "TIMEOUT" "timeout" "CLIENT_AUTH" "clientAuth" "TOKEN_ENCODING" "tokenEncoding" "ROTATION" "rotation"
  "GRANT" "grant" "SCOPE" "scope" "TOKEN_PARAMS" "tokenParams" "TOKEN_HEADERS" "tokenHeaders"
  "REFRESH_TOKEN_LIFETIME" "refreshTokenLifetime"
  "REWRITE_LOCATION" "rewriteLocation" "COOKIES" "cookies" "REFUSED_STATUS" "refusedStatus" }}
{{- with get $u $key }}
- name: {{ $prefix }}_{{ $variable }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if not $u.account }}
{{- $credentials := include "ticketproxy.credentials" (dict "name" $name "upstream" $u "root" $) | fromYaml }}
{{- if $credentials.clientSecret }}
- name: {{ $prefix }}_CLIENT_SECRET_FILE
  value: /etc/ticketproxy/secrets/{{ $name }}/client-secret
{{- end }}
{{- if $credentials.refreshToken }}
- name: {{ $prefix }}_REFRESH_TOKEN_FILE
  value: /etc/ticketproxy/secrets/{{ $name }}/refresh-token
{{- end }}
{{- end }}
{{- if $u.caConfigMap }}
- name: {{ $prefix }}_CA_FILE
  value: /etc/ticketproxy/authorities/{{ $name }}.crt
{{- end }}
{{- end }}
{{- if eq .Values.state.type "postgres" }}
- name: TICKETPROXY_STATE_FILE
  value: /etc/ticketproxy/secrets/_state/url
{{- else }}
- name: TICKETPROXY_STATE
  {{- if eq .Values.state.type "kubernetes" }}
  value: kubernetes:{{ .Release.Namespace }}/{{ include "ticketproxy.stateSecret" . }}
  {{- else }}
  value: {{ ternary "memory:" "file:/state/ticketproxy" (eq .Values.state.type "memory") | quote }}
  {{- end }}
{{- end }}
{{- if .Values.stateKey.existingSecret }}
- name: TICKETPROXY_STATE_KEY_FILE
  value: /etc/ticketproxy/secrets/_state/key
{{- end }}
{{- if ne .Values.role "refresher" }}
- name: TICKETPROXY_ROLE
  value: {{ .Values.role }}
{{- end }}
# The kubelet and Prometheus connect to the Pod's address. Status and quit are
# served only to clients inside the Pod.
- name: TICKETPROXY_ADMIN_LISTEN
  value: "0.0.0.0:9090"
{{- include "ticketproxy.callersEnvironment" . }}
- name: TICKETPROXY_ALLOWED_HOSTS
  value: {{ $hosts | join "," | quote }}
{{- with .Values.gateway.allowedOrigins }}
- name: TICKETPROXY_ALLOWED_ORIGINS
  value: {{ . | join "," | quote }}
{{- end }}
- name: TICKETPROXY_LOG_LEVEL
  value: {{ .Values.log.level }}
- name: TICKETPROXY_LOG_FORMAT
  value: {{ .Values.log.format }}
- name: TICKETPROXY_DRAIN_DELAY
  value: {{ .Values.drain.delaySeconds }}s
- name: TICKETPROXY_DRAIN_TIMEOUT
  value: {{ .Values.drain.timeoutSeconds }}s
{{- with include "ticketproxy.goMemLimit" . }}
- name: GOMEMLIMIT
  value: {{ . }}
{{- end }}
{{- end }}

{{- /* The start of an upstream's variables. */}}
{{- define "ticketproxy.prefix" -}}
TICKETPROXY_{{ . | upper | replace "-" "_" }}
{{- end }}

{{- /* The sources of the volumes with secrets and with authorities. */}}
{{- define "ticketproxy.sources" -}}
{{- $secrets := list }}
{{- $authorities := list }}
{{- /* No upstream's name begins with _. */}}
{{- if eq .Values.state.type "postgres" }}
{{- $item := dict "key" .Values.state.urlKey "path" "_state/url" }}
{{- $secrets = append $secrets (dict "secret" (dict "name" .Values.state.existingSecret "items" (list $item))) }}
{{- end }}
{{- with .Values.stateKey.existingSecret }}
{{- $item := dict "key" $.Values.stateKey.key "path" "_state/key" }}
{{- $secrets = append $secrets (dict "secret" (dict "name" . "items" (list $item))) }}
{{- end }}
{{- with (.Values.tls).secretName }}
{{- $items := list (dict "key" "tls.crt" "path" "_tls/tls.crt") (dict "key" "tls.key" "path" "_tls/tls.key") }}
{{- $secrets = append $secrets (dict "secret" (dict "name" . "items" $items)) }}
{{- end }}
{{- with include "ticketproxy.clientCA" . }}
{{- $authorities = append $authorities (fromYaml .) }}
{{- end }}
{{- range $name, $u := .Values.upstreams }}
{{- if not $u.account }}
{{- $credentials := include "ticketproxy.credentials" (dict "name" $name "upstream" $u "root" $) | fromYaml }}
{{- $items := list }}
{{- with $credentials.clientSecret }}
{{- $items = append $items (dict "key" . "path" (printf "%s/client-secret" $name)) }}
{{- end }}
{{- with $credentials.refreshToken }}
{{- $items = append $items (dict "key" . "path" (printf "%s/refresh-token" $name)) }}
{{- end }}
{{- if $items }}
{{- $secrets = append $secrets (dict "secret" (dict "name" $credentials.secret "items" $items)) }}
{{- end }}
{{- end }}
{{- with $u.caConfigMap }}
{{- $item := dict "key" (default "ca.crt" .key) "path" (printf "%s.crt" $name) }}
{{- $authorities = append $authorities (dict "configMap" (dict "name" .name "items" (list $item))) }}
{{- end }}
{{- end }}
{{- dict "secrets" $secrets "authorities" $authorities | toYaml }}
{{- end }}

{{- define "ticketproxy.volumeMounts" -}}
{{- $sources := include "ticketproxy.sources" . | fromYaml }}
{{- if eq .Values.state.type "file" }}
- name: state
  mountPath: /state
{{- end }}
{{- if include "ticketproxy.needsAccount" . }}
- name: account
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}
{{- if $sources.secrets }}
- name: secrets
  mountPath: /etc/ticketproxy/secrets
  readOnly: true
{{- end }}
{{- if $sources.authorities }}
- name: authorities
  mountPath: /etc/ticketproxy/authorities
  readOnly: true
{{- end }}
{{- if include "ticketproxy.asksCallers" . }}
- name: callers
  mountPath: /etc/ticketproxy/callers
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The volumes but for the state's, which only the gateway may have. */}}
{{- define "ticketproxy.volumes" -}}
{{- $sources := include "ticketproxy.sources" . | fromYaml }}
{{- if include "ticketproxy.needsAccount" . }}
# The ServiceAccount's token. The Pod's other containers do not get it.
- name: account
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}
{{- if $sources.secrets }}
- name: secrets
  projected:
    # Owned by root, readable by the fsGroup.
    defaultMode: 0440
    sources:
      {{- toYaml $sources.secrets | nindent 6 }}
{{- end }}
{{- if $sources.authorities }}
- name: authorities
  projected:
    sources:
      {{- toYaml $sources.authorities | nindent 6 }}
{{- end }}
{{- if include "ticketproxy.asksCallers" . }}
- name: callers
  projected:
    sources:
      - configMap:
          name: {{ include "ticketproxy.fullname" . }}-callers
          items:
            - key: callers.yaml
              path: callers.yaml
{{- end }}
{{- end }}
