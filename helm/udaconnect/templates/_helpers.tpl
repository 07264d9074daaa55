{{- define "udaconnect.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name; with the chart's added unless it holds it. 47 leaves room for the longest suffix. */}}
{{- define "udaconnect.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 47 | trimSuffix "-" }}
{{- else }}
{{- $name := include "udaconnect.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 47 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 47 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* What a component's pods are found by. Must never change: a Deployment's selector is fixed. */}}
{{- define "udaconnect.selector" -}}
app.kubernetes.io/name: {{ include "udaconnect.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "udaconnect.labels" -}}
{{ include "udaconnect.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/part-of: {{ include "udaconnect.name" .root }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "udaconnect.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "udaconnect.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "udaconnect.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* The Secret with the database's password(s). */}}
{{- define "udaconnect.secret" -}}
{{- .Values.database.existingSecret | default (printf "%s-database" (include "udaconnect.fullname" .)) }}
{{- end }}

{{- define "udaconnect.kafka.used" -}}
{{- if or .Values.kafka.enabled .Values.kafka.bootstrap }}true{{ end }}
{{- end }}

{{- define "udaconnect.kafka.bootstrap" -}}
{{- if .Values.kafka.enabled }}{{ .Values.kafka.name }}:9092{{ else }}{{ .Values.kafka.bootstrap }}{{ end }}
{{- end }}

{{- define "udaconnect.database.host" -}}
{{- if .Values.postgres.enabled }}{{ .Values.postgres.name }}{{ else }}{{ .Values.database.host }}{{ end }}
{{- end }}

{{- define "udaconnect.database.port" -}}
{{- if .Values.postgres.enabled }}5432{{ else }}{{ .Values.database.port }}{{ end }}
{{- end }}

{{- define "udaconnect.database.url" -}}
{{- include "udaconnect.database.url.at" (dict "root" . "host" (include "udaconnect.database.host" .) "port" (include "udaconnect.database.port" .)) }}
{{- end }}

{{- define "udaconnect.database.replica" -}}
{{- include "udaconnect.database.url.at" (dict "root" . "host" .Values.database.replica.host "port" (.Values.database.replica.port | toString)) }}
{{- end }}

{{- define "udaconnect.database.url.at" -}}
{{- $database := .root.Values.database }}
{{- printf "postgres://%s@%s:%s/%s" (urlquery $database.user) .host .port (urlquery $database.name) }}
{{- $tls := list }}
{{- with $database.sslMode }}{{- $tls = append $tls (printf "sslmode=%s" .) }}{{- end }}
{{- if $database.caSecret }}{{- $tls = append $tls "sslrootcert=/etc/udaconnect/database-ca/ca.crt" }}{{- end }}
{{- with $tls }}?{{ join "&" . }}{{- end }}
{{- end }}

{{- define "udaconnect.kafka.tls" -}}
{{- if has .Values.kafka.securityProtocol (list "SSL" "SASL_SSL") }}true{{ end }}
{{- end }}

{{- define "udaconnect.kafka.sasl" -}}
{{- if hasPrefix "SASL_" .Values.kafka.securityProtocol }}true{{ end }}
{{- end }}

{{/* How external brokers are talked to, as variables of the program. */}}
{{- define "udaconnect.kafka.security" -}}
{{- if ne .Values.kafka.securityProtocol "PLAINTEXT" }}
KAFKA_SECURITY_PROTOCOL: {{ .Values.kafka.securityProtocol }}
{{- if include "udaconnect.kafka.tls" . | and .Values.kafka.caSecret }}
KAFKA_CA_FILE: /etc/udaconnect/kafka-ca/ca.crt
{{- end }}
{{- if include "udaconnect.kafka.sasl" . }}
KAFKA_SASL_MECHANISM: {{ .Values.kafka.sasl.mechanism }}
KAFKA_USERNAME: {{ .Values.kafka.sasl.username | quote }}
KAFKA_PASSWORD_FILE: /etc/udaconnect/kafka/password
{{- end }}
{{- end }}
{{- end }}

{{/* What cannot work is said now, and not by pods that never become ready. */}}
{{- define "udaconnect.validate" -}}
{{- if and .Values.postgres.enabled .Values.database.host }}
{{- fail "postgres.enabled and database.host contradict each other: set postgres.enabled=false to use the external server" }}
{{- end }}
{{- if and (not .Values.postgres.enabled) (not .Values.database.host) }}
{{- fail "database.host must name a server while postgres.enabled is false" }}
{{- end }}
{{- if and (not .Values.postgres.enabled) (not .Values.database.existingSecret) (not .Values.database.password) }}
{{- fail "the external database needs a password: put it into a Secret and name that in database.existingSecret" }}
{{- end }}
{{- if and .Values.postgres.enabled (or .Values.database.sslMode .Values.database.caSecret) }}
{{- fail "database.sslMode and database.caSecret are for an external server: the chart's own speaks no TLS" }}
{{- end }}
{{- if and .Values.postgres.enabled .Values.database.replica.host }}
{{- fail "database.replica is of an external server: the chart's own has no replica" }}
{{- end }}
{{- if and .Values.kafka.enabled (ne .Values.kafka.securityProtocol "PLAINTEXT") }}
{{- fail "kafka.securityProtocol is for external brokers: the chart's own speaks PLAINTEXT" }}
{{- end }}
{{- if and .Values.kafka.caSecret (not (include "udaconnect.kafka.tls" .)) }}
{{- fail "kafka.caSecret means nothing unless kafka.securityProtocol is SSL or SASL_SSL" }}
{{- end }}
{{- if and (include "udaconnect.kafka.sasl" .) (or (not .Values.kafka.sasl.username) (not .Values.kafka.sasl.existingSecret)) }}
{{- fail (printf "kafka.securityProtocol %s needs kafka.sasl.username, and a Secret with the password in kafka.sasl.existingSecret" .Values.kafka.securityProtocol) }}
{{- end }}
{{- if and .Values.kafka.enabled .Values.kafka.bootstrap }}
{{- fail "kafka.enabled and kafka.bootstrap contradict each other: set kafka.enabled=false to use the external brokers" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.host must be given while ingress.enabled is true" }}
{{- end }}
{{- range $component := list "api" "app" "grpc" "consumer" }}
{{- $scaling := (index $.Values $component).autoscaling }}
{{- if and $scaling.enabled (lt (int $scaling.maxReplicas) (int $scaling.minReplicas)) }}
{{- fail (printf "%s.autoscaling.maxReplicas (%v) must be at least minReplicas (%v)" $component $scaling.maxReplicas $scaling.minReplicas) }}
{{- end }}
{{- end }}
{{- $consumers := ternary .Values.consumer.autoscaling.maxReplicas .Values.consumer.replicas .Values.consumer.autoscaling.enabled }}
{{- if and (include "udaconnect.kafka.used" .) (gt (int $consumers) (int .Values.kafka.topic.partitions)) }}
{{- fail (printf "%v consumers cannot share kafka.topic.partitions (%v): the others would be idle" $consumers .Values.kafka.topic.partitions) }}
{{- end }}
{{- if le (int .Values.shutdown.graceSeconds) (add (int .Values.shutdown.pauseSeconds) 35) }}
{{- fail (printf "shutdown.graceSeconds (%v) must be more than shutdown.pauseSeconds (%v) + 35, or requests in flight are cut off" .Values.shutdown.graceSeconds .Values.shutdown.pauseSeconds) }}
{{- end }}
{{- end }}
