{{/*
A serving role: Deployment, Service, HorizontalPodAutoscaler, PodDisruptionBudget.

  root       the chart's context
  component  its name, and that of its values
  args       what the program is told
  port       where it listens
  portName   what that port is called
  appProtocol (optional) what it speaks there
  database   whether it talks to PostgreSQL
  kafka      whether it talks to Kafka
  env        a map of further variables
*/}}
{{- define "udaconnect.role" -}}
{{- $root := .root }}
{{- $values := index $root.Values .component }}
{{- $name := printf "%s-%s" (include "udaconnect.fullname" $root) .component }}
{{- $context := dict "root" $root "component" .component }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- include "udaconnect.labels" $context | nindent 4 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  # Old pods go only when new ones are ready, which they are not before the schema is.
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels: {{- include "udaconnect.selector" $context | nindent 6 }}
  template:
    metadata:
      labels: {{- include "udaconnect.labels" $context | nindent 8 }}
      annotations:
        # Pods read their configuration once: a change must make new ones.
        checksum/config: {{ include "udaconnect.config" $root | sha256sum }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "udaconnect.pod" $root | nindent 6 }}
      terminationGracePeriodSeconds: {{ $root.Values.shutdown.graceSeconds }}
      {{- if $root.Values.topologySpread.enabled }}
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "udaconnect.selector" $context | nindent 14 }}
          matchLabelKeys: [pod-template-hash]
        {{- end }}
      {{- end }}
      {{- with include "udaconnect.placement" $values }}
      {{- . | nindent 6 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          {{- include "udaconnect.container" $root | nindent 10 }}
          args: {{ toJson .args }}
          env:
            {{- include "udaconnect.env.log" $root | trim | nindent 12 }}
            {{- with include "udaconnect.env.tracing" $root | trim }}
            {{- . | nindent 12 }}
            {{- end }}
            # Load balancers hear of the end at the same time as the pod: it goes on serving until they have.
            - name: SHUTDOWN_PAUSE
              value: {{ $root.Values.shutdown.pauseSeconds | quote }}
            - name: LISTEN_ADDR
              value: "0.0.0.0:{{ .port }}"
            {{- if .database }}
            {{- include "udaconnect.env.database" $root | trim | nindent 12 }}
            {{- if and $root.Values.database.replica.host (ne .component "consumer") }}
            {{- include "udaconnect.env.from" (dict "root" $root "names" (list "DATABASE_REPLICA_URL" "DATABASE_REPLICA_MAX_LAG")) | trim | nindent 12 }}
            {{- end }}
            {{- end }}
            {{- if and .kafka (include "udaconnect.kafka.used" $root) }}
            {{- include "udaconnect.env.kafka" $root | trim | nindent 12 }}
            {{- end }}
            {{- with merge (dict) $values.env .env }}
            {{- include "udaconnect.env.map" . | trim | nindent 12 }}
            {{- end }}
          ports:
            - {name: {{ .portName }}, containerPort: {{ .port }}, protocol: TCP}
          startupProbe:
            httpGet: {path: /livez, port: {{ .portName }}}
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /livez, port: {{ .portName }}}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          # A dependency gets 2 s to answer before it counts as away.
          readinessProbe:
            httpGet: {path: /readyz, port: {{ .portName }}}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          resources: {{- toYaml $values.resources | nindent 12 }}
          {{- if .database }}
          volumeMounts:
            {{- include "udaconnect.mounts" . | trim | nindent 12 }}
          {{- end }}
      {{- if .database }}
      volumes:
        {{- include "udaconnect.volumes" . | trim | nindent 8 }}
      {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{- include "udaconnect.labels" $context | nindent 4 }}
  {{- with ($values.service).annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if $values.service }}
  type: {{ $values.service.type }}
  {{- else }}
  # Nobody calls it; it makes the pods' metrics known.
  clusterIP: None
  {{- end }}
  selector: {{- include "udaconnect.selector" $context | nindent 4 }}
  ports:
    - name: {{ .portName }}
      port: {{ ($values.service).port | default .port }}
      targetPort: {{ .portName }}
      protocol: TCP
      {{- with .appProtocol }}
      appProtocol: {{ . }}
      {{- end }}
      {{- if and (eq ($values.service).type "NodePort") ($values.service).nodePort }}
      nodePort: {{ $values.service.nodePort }}
      {{- end }}
{{- if $values.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels: {{- include "udaconnect.labels" $context | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $name }}}
  minReplicas: {{ $values.autoscaling.minReplicas }}
  maxReplicas: {{ $values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $values.autoscaling.targetCPU }}}
  behavior:
    # A pause between two talks is no reason to shrink.
    scaleDown: {stabilizationWindowSeconds: 600}
{{- end }}
{{- if $values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels: {{- include "udaconnect.labels" $context | nindent 4 }}
spec:
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  # A pod that is not ready anyway must not keep a node from being emptied.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "udaconnect.selector" $context | nindent 6 }}
{{- end }}
{{- end }}
