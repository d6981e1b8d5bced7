{{- define "rs.name" -}}
{{- $name := .Release.Name }}
{{- if not (contains .Chart.Name $name) }}{{ $name = printf "%s-%s" $name .Chart.Name }}{{ end }}
{{- $name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "rs.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "rs.labels" -}}
{{ include "rs.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "rs.meta" -}}
name: {{ include "rs.name" .root }}-{{ .part }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "rs.labels" . | nindent 2 }}
{{- end }}

{{- define "rs.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "rs.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "rs.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "rs.secured" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What every pod has. */}}
{{- define "rs.pod" -}}
serviceAccountName: {{ include "rs.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Whom the view asks for figures, and whom 8080 of the RS pod asks whether all are ready. */}}
{{- define "rs.parts" -}}
{{- $name := include "rs.name" . }}
{{- $parts := dict }}
{{- range $part, $port := dict "bridge" 8081 "sinks" 8083 "view" 8090 "reports" 8080 }}
{{- $_ := set $parts $part (printf "http://%s-%s:%d" $name $part $port) }}
{{- end }}
{{- range $number := until (int .Values.agents.replicas) }}
{{- $_ := set $parts (printf "agents-%d" $number) (printf "http://%s-agents-%d.%s-agents:8082" $name $number $name) }}
{{- end }}
{{- $parts | toJson }}
{{- end }}

{{/* Settings of every process of ours, as environment. */}}
{{- define "rs.env" -}}
- {name: RS_KAFKA__BOOTSTRAP, value: {{ .Values.kafka.bootstrap | quote }}}
- {name: RS_KAFKA__PARTITIONS, value: {{ .Values.kafka.partitions | quote }}}
- {name: RS_KAFKA__REPLICATION, value: {{ .Values.kafka.replication | quote }}}
- {name: RS_CONFIG__SERVER, value: {{ .Values.configServer.server | quote }}}
{{- with .Values.configServer.user }}
- {name: RS_CONFIG__USER, value: {{ . | quote }}}
{{- end }}
{{- with .Values.configServer.existingSecret }}
- {name: RS_CONFIG__PASSWORD, valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $.Values.configServer.passwordKey }}}}}
{{- end }}
- {name: RS_HEALTH__HOST, value: "0.0.0.0"}
- {name: RS_HEALTH__BRIDGE_HOST, value: {{ include "rs.name" . }}-bridge}
- {name: RS_SNMP__PARTS, value: {{ include "rs.parts" . | quote }}}
- {name: RS_REPORTS__TIME_ZONE, value: {{ .Values.reports.timeZone | quote }}}
{{- range $section, $options := .Values.settings }}
{{- range $name, $value := $options }}
- {name: {{ printf "RS_%s__%s" $section $name | upper }}, value: {{ if kindIs "string" $value }}{{ $value | quote }}{{ else }}{{ $value | toJson | quote }}{{ end }}}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "rs.container" -}}
image: {{ include "rs.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- include "rs.secured" . | nindent 2 }}
resources: {{- toYaml .resources | nindent 2 }}
{{- end }}

{{/* Alive: it answers. Ready: it says so. The reasons are in the answer of /health/ready. A first start may take its time. */}}
{{- define "rs.probes" -}}
startupProbe:
  httpGet: {path: /health/live, port: {{ .port }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health/live, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: {{ .ready | default "/health/ready" }}, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}

{{- define "rs.password" -}}
- {name: RS_SINKS__DATABASE, value: {{ .database | quote }}}
- {name: RS_SINKS__PASSWORD_FILE, value: /run/secrets/database/password}
{{- end }}

{{- define "rs.passwordVolume" -}}
- name: database
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items: [{key: {{ .key }}, path: password}]
{{- end }}

{{- define "rs.claim" -}}
- metadata: {name: data}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources: {requests: {storage: {{ .size }}}}
{{- end }}
