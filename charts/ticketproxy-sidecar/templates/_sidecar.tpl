{{- /*
The sidecar for the Pods of another chart. Each template takes a dictionary:

  image           the image with its tag. Required.
  env             the sidecar's environment: names to values. A variable that this template sets is refused,
                  like TICKETPROXY_STATE, which comes from state.
  secret          the Secret whose keys are files in /etc/ticketproxy/secrets.
  state           the Secret that has the state. Required.
  serviceAccount  the ServiceAccount of the Pods, for ticketproxy.sidecar.state. Required there.
  resources       of the container.
  root            the context of the other chart. Required.
*/}}

{{- /* The container, for the Pod's initContainers. */}}
{{- define "ticketproxy.sidecar" -}}
{{- include "ticketproxy.sidecar.require" (dict "name" "ticketproxy.sidecar" "keys" (list "image" "state" "root") "given" .) -}}
{{- $own := list "TICKETPROXY_STATE" "TICKETPROXY_STATE_FILE" "TICKETPROXY_ADMIN_LISTEN" }}
{{- if not .resources }}
{{- $own = append $own "GOMEMLIMIT" }}
{{- end }}
{{- range $name, $value := .env }}
{{- if has $name $own }}
{{- fail (printf "\n\nenv has %s, which ticketproxy.sidecar sets: leave it out." $name) }}
{{- end }}
{{- end -}}
- name: ticketproxy
  image: {{ .image | quote }}
  # Makes it a sidecar, which starts before the app and stops after it.
  restartPolicy: Always
  args:
    - serve
  env:
    {{- range $name, $value := .env }}
    - name: {{ $name }}
      value: {{ $value | quote }}
    {{- end }}
    - name: TICKETPROXY_STATE
      value: kubernetes:{{ .root.Release.Namespace }}/{{ .state }}
    - name: TICKETPROXY_ADMIN_LISTEN
      value: "0.0.0.0:9090"
    {{- if not .resources }}
    - name: GOMEMLIMIT
      value: 115MiB
    {{- end }}
  ports:
    - name: tickets-admin
      containerPort: 9090
  # The app starts when this probe first succeeds, which is when there is a token.
  startupProbe:
    httpGet:
      path: /startupz
      port: tickets-admin
    periodSeconds: 1
    failureThreshold: 600
  livenessProbe:
    httpGet:
      path: /livez
      port: tickets-admin
    periodSeconds: 10
    timeoutSeconds: 5
  readinessProbe:
    httpGet:
      path: /readyz
      port: tickets-admin
    periodSeconds: 5
    timeoutSeconds: 5
  resources:
    {{- default (dict "requests" (dict "cpu" "20m" "memory" "32Mi") "limits" (dict "memory" "128Mi")) .resources | toYaml | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop:
        - ALL
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    {{- if .secret }}
    - name: ticketproxy-secrets
      mountPath: /etc/ticketproxy/secrets
      readOnly: true
    {{- end }}
    - name: ticketproxy-account
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
{{- end }}

{{- /* The volumes of the Pod. Mode 0444 lets the sidecar read them whatever the Pod's fsGroup is;
only the sidecar mounts them. */}}
{{- define "ticketproxy.sidecar.volumes" -}}
{{- if .secret -}}
- name: ticketproxy-secrets
  secret:
    secretName: {{ .secret }}
    defaultMode: 0444
{{ end -}}
- name: ticketproxy-account
  projected:
    defaultMode: 0444
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

{{- /* Objects: the state's Secrets without data, and what the Pods may do to them. Secrets that
another release or a login has made stay as they are. */}}
{{- define "ticketproxy.sidecar.state" -}}
{{- include "ticketproxy.sidecar.require" (dict "name" "ticketproxy.sidecar.state" "keys" (list "state" "serviceAccount" "root") "given" .) -}}
{{- $root := .root }}
{{- $namespace := .root.Release.Namespace }}
{{- range $name := list .state (printf "%s-access" .state) }}
{{- $found := lookup "v1" "Secret" $namespace $name }}
{{- if or (not $found) (eq $root.Release.Name (dig "metadata" "annotations" "meta.helm.sh/release-name" "" $found)) }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ $name }}
  namespace: {{ $namespace }}
  annotations:
    helm.sh/resource-policy: keep
type: Opaque
{{- end }}
{{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .state }}
  namespace: {{ $namespace }}
rules:
  - apiGroups:
      - ""
    resources:
      - secrets
    resourceNames:
      - {{ .state }}
      - {{ .state }}-access
    verbs:
      - get
      - watch
      - patch
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .state }}
  namespace: {{ $namespace }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .state }}
subjects:
  - kind: ServiceAccount
    name: {{ .serviceAccount }}
    namespace: {{ $namespace }}
{{- end }}

{{- define "ticketproxy.sidecar.require" -}}
{{- range .keys }}
{{- if not (get $.given .) }}
{{- fail (printf "\n\n%s needs %q in its dictionary." $.name .) }}
{{- end }}
{{- end }}
{{- end }}
