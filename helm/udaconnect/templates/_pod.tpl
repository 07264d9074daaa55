{{/* What the pods of our image have in common. They need no rights: not in the cluster, not on the node. */}}
{{- define "udaconnect.pod" -}}
serviceAccountName: {{ include "udaconnect.serviceAccount" . }}
automountServiceAccountToken: false
# Variables that Kubernetes would make up from Services' names might be taken for ours.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "udaconnect.container" -}}
image: {{ include "udaconnect.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "udaconnect.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Variables from the ConfigMap. Each role gets those that it knows, and no others. */}}
{{- define "udaconnect.env.from" -}}
{{- $map := include "udaconnect.fullname" .root }}
{{- range .names }}
- name: {{ . }}
  valueFrom: {configMapKeyRef: {name: {{ $map }}, key: {{ . }}}}
{{- end }}
{{- end }}

{{- define "udaconnect.env.log" -}}
{{ include "udaconnect.env.from" (dict "root" . "names" (list "LOG_FORMAT" "RUST_LOG")) }}
{{- end }}

{{- define "udaconnect.env.tracing" -}}
{{- if .Values.tracing.endpoint }}
{{ include "udaconnect.env.from" (dict "root" . "names" (list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_TRACES_SAMPLER_ARG")) }}
{{- end }}
{{- end }}

{{- define "udaconnect.env.database" -}}
{{ include "udaconnect.env.from" (dict "root" . "names" (list "DATABASE_URL" "DATABASE_PASSWORD_FILE" "DATABASE_POOL_SIZE" "DATABASE_SEARCH_POOL_SIZE" "DATABASE_STATEMENT_TIMEOUT")) }}
{{- end }}

{{- define "udaconnect.env.kafka" -}}
{{- if include "udaconnect.kafka.used" . }}
{{- $names := list "KAFKA_BOOTSTRAP" "KAFKA_TOPIC" "KAFKA_CREATE_TOPIC" "KAFKA_PARTITIONS" "KAFKA_REPLICATION" }}
{{- $security := include "udaconnect.kafka.security" . | fromYaml }}
{{ include "udaconnect.env.from" (dict "root" . "names" (concat $names (keys $security | sortAlpha))) }}
{{- end }}
{{- end }}

{{- define "udaconnect.env.map" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* What a pod is given as files, since variables show up in too many places: name → [Secret, key, file]. */}}
{{- define "udaconnect.files" -}}
{{- $values := .root.Values -}}
database: [{{ include "udaconnect.secret" .root }}, {{ $values.database.passwordKey }}, password]
{{- if $values.database.caSecret }}
database-ca: [{{ $values.database.caSecret }}, {{ $values.database.caKey }}, ca.crt]
{{- end }}
{{- if .kafka }}
{{- if include "udaconnect.kafka.tls" .root | and $values.kafka.caSecret }}
kafka-ca: [{{ $values.kafka.caSecret }}, {{ $values.kafka.caKey }}, ca.crt]
{{- end }}
{{- if include "udaconnect.kafka.sasl" .root }}
kafka: [{{ $values.kafka.sasl.existingSecret }}, {{ $values.kafka.sasl.passwordKey }}, password]
{{- end }}
{{- end }}
{{- end }}

{{- define "udaconnect.mounts" -}}
{{- range $name, $file := include "udaconnect.files" . | fromYaml }}
- name: {{ $name }}
  mountPath: /etc/udaconnect/{{ $name }}
  readOnly: true
{{- end }}
{{- end }}

{{- define "udaconnect.volumes" -}}
{{- range $name, $file := include "udaconnect.files" . | fromYaml }}
- name: {{ $name }}
  secret:
    secretName: {{ index $file 0 }}
    defaultMode: 0440
    items: [{key: {{ index $file 1 }}, path: {{ index $file 2 }}}]
{{- end }}
{{- end }}
