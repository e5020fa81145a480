{{- /* What the gateway asks of callers and keeps of them: CALLERS_FILE, TLS, the listener for
tokens and the audit log. The parentheses are for helm upgrade --reuse-values, which leaves out
values that an earlier version of the chart did not have. */}}

{{- /* Not empty if callers are asked who they are. */}}
{{- define "ticketproxy.asksCallers" -}}
{{- if not .Values.gateway.allowUnauthenticated }}true{{ end }}
{{- end }}

{{- /* CALLERS_FILE. */}}
{{- define "ticketproxy.callers" -}}
{{- $callers := dict "callers" dict }}
{{- range $key, $value := .Values.callers }}
{{- $_ := set $callers $key (default dict $value) }}
{{- end }}
{{- toYaml $callers }}
{{- end }}

{{- /* Not empty if the gateway needs the token of its ServiceAccount: for the state, or to ask
the API server for the keys of callers' tokens. */}}
{{- define "ticketproxy.needsAccount" -}}
{{- if eq .Values.state.type "kubernetes" }}state {{ end }}
{{- if include "ticketproxy.asksCallers" . }}
{{- range (.Values.callers).issuers }}
{{- if .kubernetes }}callers {{ end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The port of the listener for tokens; empty if there is none. */}}
{{- define "ticketproxy.tokenPort" -}}
{{- if (.Values.tokenListen).enabled }}{{ int .Values.tokenListen.port }}{{ end }}
{{- end }}

{{- define "ticketproxy.scheme" -}}
{{- ternary "https" "http" (not (empty (.Values.tls).secretName)) }}
{{- end }}

{{- /* The Secret or ConfigMap of the authorities of clients, as a source of a volume. */}}
{{- define "ticketproxy.clientCA" -}}
{{- $ca := default dict (.Values.tls).clientCA }}
{{- $items := list (dict "key" $ca.key "path" "_clients.crt") }}
{{- if $ca.configMap }}
{{- dict "configMap" (dict "name" $ca.configMap "items" $items) | toYaml }}
{{- else if $ca.secretName }}
{{- dict "secret" (dict "name" $ca.secretName "items" $items) | toYaml }}
{{- end }}
{{- end }}

{{- define "ticketproxy.callersEnvironment" -}}
{{- if include "ticketproxy.asksCallers" . }}
- name: TICKETPROXY_CALLERS_FILE
  value: /etc/ticketproxy/callers/callers.yaml
{{- else }}
- name: TICKETPROXY_ALLOW_UNAUTHENTICATED
  value: "true"
{{- end }}
{{- with include "ticketproxy.tokenPort" . }}
- name: TICKETPROXY_TOKEN_LISTEN
  value: "0.0.0.0:{{ . }}"
{{- end }}
{{- if (.Values.tls).secretName }}
- name: TICKETPROXY_TLS_CERT_FILE
  value: /etc/ticketproxy/secrets/_tls/tls.crt
- name: TICKETPROXY_TLS_KEY_FILE
  value: /etc/ticketproxy/secrets/_tls/tls.key
{{- if include "ticketproxy.clientCA" . }}
- name: TICKETPROXY_TLS_CLIENT_CA_FILE
  value: /etc/ticketproxy/authorities/_clients.crt
{{- end }}
{{- end }}
{{- if ne "off" (default "off" (.Values.audit).log) }}
- name: TICKETPROXY_AUDIT_LOG
  value: {{ .Values.audit.log | quote }}
- name: TICKETPROXY_AUDIT_REQUIRED
  value: {{ default false .Values.audit.required | quote }}
{{- end }}
{{- end }}

{{- define "ticketproxy.validateCallers" -}}
{{- if .Values.gateway.allowUnauthenticated }}
{{- if or (.Values.callers).callers (.Values.callers).limits }}
{{- fail "\n\ncallers names callers or limits, but gateway.allowUnauthenticated asks nobody who calls:\nset gateway.allowUnauthenticated=false, or empty callers.callers and callers.limits." }}
{{- end }}
{{- if include "ticketproxy.tokenPort" . }}
{{- fail "\n\ntokenListen hands out access tokens, and gateway.allowUnauthenticated would hand them to everyone:\nset gateway.allowUnauthenticated=false and name the callers, or set tokenListen.enabled=false." }}
{{- end }}
{{- end }}
{{- $ca := default dict (.Values.tls).clientCA }}
{{- if and $ca.secretName $ca.configMap }}
{{- fail "\n\ntls.clientCA has secretName and configMap: keep one of the two." }}
{{- end }}
{{- if and (or $ca.secretName $ca.configMap) (not .Values.tls.secretName) }}
{{- fail "\n\ntls.clientCA is set, but tls.secretName is empty: name the Secret of the gateway's certificate, too." }}
{{- end }}
{{- if and (.Values.audit).required (eq "off" (default "off" .Values.audit.log)) }}
{{- fail "\n\naudit.required is set, but audit.log is off: say where the audit log goes, like audit.log=stdout." }}
{{- end }}
{{- $port := include "ticketproxy.tokenPort" . }}
{{- if has $port (append (splitList " " (include "ticketproxy.ports" .)) "9090") }}
{{- fail (printf "\n\ntokenListen.port is %s, which is that of an upstream, or of health and metrics: choose another." $port) }}
{{- end }}
{{- end }}
