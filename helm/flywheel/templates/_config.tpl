{{/* config.yaml: what the chart knows, and over it what the values say under config. */}}

{{- define "flywheel.configuration" -}}
{{- $made := dict -}}
{{- if eq .Values.mode "distributed" -}}
{{- $_ := set $made "nmp_config" (dict
      "nemo_base_url" (include "flywheel.url" (list . "datastore" 8001 "http"))
      "datastore_base_url" (include "flywheel.url" (list . "datastore" 8001 "http"))
      "customizer_base_url" (include "flywheel.url" (list . "customizer" 8001 "http"))
      "evaluator_base_url" (include "flywheel.url" (list . "evaluator" 8001 "http"))
      "deployments_base_url" (include "flywheel.url" (list . "deployments" 8001 "http"))
      "nim_base_url" (include "flywheel.url" (list . "deployments" 8002 "http"))) -}}
{{- $_ := set $made "records" (include "flywheel.records" . | fromYaml) -}}
{{- $_ := set $made "runs" (include "flywheel.runs" . | fromYaml) -}}
{{- $_ := set $made "wakeups" (include "flywheel.wakeups" . | fromYaml) -}}
{{- end -}}
{{- $runtime := dict "type" (include "flywheel.runtime" .) -}}
{{- if eq $runtime.type "kubernetes" -}}
{{- $_ := set $runtime "instance" (include "flywheel.fullname" .) -}}
{{- $_ := set $runtime "image" (include "flywheel.image" .) -}}
{{- $_ := set $runtime "image_pull_policy" .Values.image.pullPolicy -}}
{{- $_ := set $runtime "service_account" (printf "%s-launched" (include "flywheel.fullname" .)) -}}
{{- with .Values.imagePullSecrets }}{{- $_ := set $runtime "image_pull_secrets" . -}}{{- end -}}
{{- end -}}
{{- $_ := set $made "runtime" $runtime -}}
{{- toYaml (mustMergeOverwrite $made (deepCopy .Values.config)) -}}
{{- end }}

{{- define "flywheel.records" -}}
type: elasticsearch
{{- with .Values.elasticsearch }}
url: {{ .embedded.enabled | ternary (include "flywheel.url" (list $ "elasticsearch" 9200 "http")) .url | quote }}
index: {{ .index | quote }}
{{- if .apiKeySecret.name }}
api_key_env: ELASTICSEARCH_API_KEY
{{- else if .passwordSecret.name }}
username: {{ .embedded.enabled | ternary "elastic" .username | quote }}
password_env: ELASTICSEARCH_PASSWORD
{{- end }}
{{- if .caSecret.name }}
ca_file: /etc/flywheel/elasticsearch/ca.crt
{{- end }}
{{- end }}
{{- end }}

{{- define "flywheel.runs" -}}
type: mongo
{{- with .Values.mongodb }}
url: {{ .embedded.enabled | ternary (include "flywheel.url" (list $ "mongodb" 27017 "mongodb")) .url | quote }}
database: {{ .database | quote }}
{{- if .passwordSecret.name }}
username: {{ .embedded.enabled | ternary "flywheel" .username | quote }}
password_env: MONGODB_PASSWORD
{{- end }}
{{- if .caSecret.name }}
ca_file: /etc/flywheel/mongodb/ca.crt
{{- end }}
{{- end }}
{{- end }}

{{- define "flywheel.wakeups" -}}
type: celery
{{- with .Values.redis }}
broker_url: {{ .embedded.enabled | ternary (printf "%s/0" (include "flywheel.url" (list $ "redis" 6379 "redis"))) .url | quote }}
{{- if .passwordSecret.name }}
{{- if and .username (not .embedded.enabled) }}
username: {{ .username | quote }}
{{- end }}
password_env: REDIS_PASSWORD
{{- end }}
{{- if .caSecret.name }}
ca_file: /etc/flywheel/redis/ca.crt
{{- end }}
{{- end }}
{{- end }}

{{/* The secrets of the servers, as environment, for those who talk to them. */}}
{{- define "flywheel.secrets" -}}
{{- range $variable, $secret := dict
      "ELASTICSEARCH_API_KEY" .Values.elasticsearch.apiKeySecret
      "ELASTICSEARCH_PASSWORD" .Values.elasticsearch.passwordSecret
      "MONGODB_PASSWORD" .Values.mongodb.passwordSecret
      "REDIS_PASSWORD" .Values.redis.passwordSecret }}
{{- if $secret.name }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name | quote }}
      key: {{ $secret.key | quote }}
{{- end }}
{{- end }}
{{- end }}
