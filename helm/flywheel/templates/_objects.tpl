{{/* A claim that outlives the release: (list $ "component"). Nothing where a claim of yours is named. */}}
{{- define "flywheel.volume" -}}
{{- $root := index . 0 }}
{{- with (index $root.Values (index . 1)).persistence }}
{{- if not .existingClaim }}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ include "flywheel.claim" $ }}
  labels: {{- include "flywheel.labels" $ | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  accessModes: {{- toYaml .accessModes | nindent 4 }}
  {{- with .storageClass }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ .size }}
{{- end }}
{{- end }}
{{- end }}

{{/* A Service: (list $ "component" (dict "nemo" 8001) "ClusterIP"). */}}
{{- define "flywheel.service" -}}
{{- $root := index . 0 }}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "flywheel.fullname" $root }}-{{ index . 1 }}
  labels: {{- include "flywheel.labels" (list $root (index . 1)) | nindent 4 }}
  {{- with $root.Values.service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ index . 3 }}
  selector: {{- include "flywheel.selector" (list $root (index . 1)) | nindent 4 }}
  ports:
    {{- range $name, $number := index . 2 }}
    - {name: {{ $name }}, port: {{ $number }}, targetPort: {{ $name }}}
    {{- end }}
{{- end }}

{{/* Scales by CPU: (list $ "component"). */}}
{{- define "flywheel.autoscaler" -}}
{{- $root := index . 0 }}
{{- with (index $root.Values (index . 1)).autoscaling }}
{{- if .enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "flywheel.fullname" $root }}-{{ index $ 1 }}
  labels: {{- include "flywheel.labels" $ | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "flywheel.fullname" $root }}-{{ index $ 1 }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .targetCPUUtilizationPercentage }}
{{- end }}
{{- end }}
{{- end }}

{{/* One pod at a time leaves a drained node, where there is more than one: (list $ "component"). */}}
{{- define "flywheel.budget" -}}
{{- $root := index . 0 }}
{{- $values := index $root.Values (index . 1) }}
{{- $least := $values.autoscaling.enabled | ternary $values.autoscaling.minReplicas $values.replicas }}
{{- if and $values.podDisruptionBudget.enabled (gt (int $least) 1) }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "flywheel.fullname" $root }}-{{ index . 1 }}
  labels: {{- include "flywheel.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels: {{- include "flywheel.selector" . | nindent 6 }}
{{- end }}
{{- end }}
