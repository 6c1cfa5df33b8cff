{{/* Names and labels. Selectors never change within a release's life: Kubernetes refuses such an upgrade. */}}

{{- define "flywheel.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "flywheel.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "flywheel.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "flywheel.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Takes (list $ "component"). */}}
{{- define "flywheel.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "flywheel.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Takes (list $ "component"). */}}
{{- define "flywheel.labels" -}}
{{- $root := index . 0 -}}
{{ include "flywheel.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: flywheel
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "flywheel.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* Address of a component inside the cluster: (list $ "datastore" 8001 "http"). */}}
{{- define "flywheel.url" -}}
{{- $root := index . 0 -}}
{{ index . 3 }}://{{ include "flywheel.fullname" $root }}-{{ index . 1 }}.{{ $root.Release.Namespace }}.svc:{{ index . 2 }}
{{- end }}

{{- define "flywheel.runtime" -}}
{{- default (eq .Values.mode "embedded" | ternary "process" "kubernetes") .Values.runtime.type -}}
{{- end }}

{{/* The claim of a role with a folder: (list $ "datastore"); "embedded" is the one pod. */}}
{{- define "flywheel.claim" -}}
{{- $root := index . 0 -}}
{{- default (printf "%s-%s" (include "flywheel.fullname" $root) (index . 1)) (index $root.Values (index . 1)).persistence.existingClaim -}}
{{- end }}
