{{/*
One Deployment of our image. Takes a dict:
  root        $
  component   name of the role, and of its block in the values
  args        arguments of `flywheel`
  ports       dict of name to number
  main        name of the port that probes ask; `vitals` where nobody else asks anything
  servers     whether it talks to Elasticsearch, MongoDB and Redis
  account     service account; token   whether its token is mounted
  claim       claim of the data folder; none: an empty folder that goes with the pod
*/}}
{{- define "flywheel.deployment" -}}
{{- $root := .root }}
{{- $values := index $root.Values .component }}
{{- $scaled := dig "autoscaling" "enabled" false $values }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "flywheel.fullname" $root }}-{{ .component }}
  labels: {{- include "flywheel.labels" (list $root .component) | nindent 4 }}
spec:
  {{- if not $scaled }}
  replicas: {{ dig "replicas" 1 $values }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    {{- if .claim }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
    {{- end }}
  selector:
    matchLabels: {{- include "flywheel.selector" (list $root .component) | nindent 6 }}
  template:
    metadata:
      annotations:
        checksum/config: {{ include "flywheel.configuration" $root | sha256sum }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      labels:
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "flywheel.selector" (list $root .component) | nindent 8 }}
        app.kubernetes.io/part-of: flywheel
    spec:
      serviceAccountName: {{ .account }}
      automountServiceAccountToken: {{ .token | default false }}
      # Variables such as FLYWHEEL_PORT of a Service would be read as settings.
      enableServiceLinks: false
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . | quote }}
        {{- end }}
      {{- end }}
      securityContext: {{- toYaml $root.Values.podSecurityContext | nindent 8 }}
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      containers:
        - name: flywheel
          image: {{ include "flywheel.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [flywheel]
          args: {{- toYaml .args | nindent 12 }}
          workingDir: /app
          env:
            - {name: FLYWHEEL_DATA, value: /data}
            - {name: HOME, value: /tmp}
            {{- if .token }}
            - {name: FLYWHEEL_RUNTIME__VOLUME_CLAIM, value: {{ .claim | quote }}}
            {{- end }}
            {{- if .servers }}
            {{- include "flywheel.secrets" $root | trim | nindent 12 }}
            {{- end }}
            {{- with concat $root.Values.extraEnv $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- with $root.Values.extraEnvFrom }}
          envFrom: {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- range $name, $number := .ports }}
            - {name: {{ $name }}, containerPort: {{ $number }}}
            {{- end }}
          # It takes traffic when all that it needs has answered once. Later it says itself what it cannot do:
          # a trouble of one part must not take the addresses of all others away.
          startupProbe:
            httpGet: {path: /health/ready, port: {{ .main }}}
            periodSeconds: 2
            timeoutSeconds: 5
            failureThreshold: 300
          livenessProbe:
            httpGet: {path: /health/live, port: {{ .main }}}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /health/live, port: {{ .main }}}
            periodSeconds: 5
            timeoutSeconds: 5
          {{- if ne .main "vitals" }}
          # Until every node knows that this pod is leaving, it still answers.
          lifecycle: {preStop: {exec: {command: [sleep, "3"]}}}
          {{- end }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          securityContext: {{- toYaml $root.Values.securityContext | nindent 12 }}
          volumeMounts:
            - {name: config, mountPath: /app/config, readOnly: true}
            - {name: data, mountPath: /data}
            - {name: tmp, mountPath: /tmp}
            {{- if .servers }}
            {{- include "flywheel.caMounts" $root | trim | nindent 12 }}
            {{- end }}
      volumes:
        - {name: config, configMap: {name: {{ include "flywheel.fullname" $root }}}}
        {{- if .claim }}
        - {name: data, persistentVolumeClaim: {claimName: {{ .claim | quote }}}}
        {{- else }}
        - {name: data, emptyDir: {}}
        {{- end }}
        - {name: tmp, emptyDir: {}}
        {{- if .servers }}
        {{- include "flywheel.caVolumes" $root | trim | nindent 8 }}
        {{- end }}
      {{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
      {{- with index $values $field }}
      {{ $field }}: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
{{- end }}

{{- define "flywheel.caMounts" -}}
{{- range $name := list "elasticsearch" "mongodb" "redis" }}
{{- if (index $.Values $name).caSecret.name }}
- {name: {{ $name }}-ca, mountPath: /etc/flywheel/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "flywheel.caVolumes" -}}
{{- range $name := list "elasticsearch" "mongodb" "redis" }}
{{- with (index $.Values $name).caSecret }}
{{- if .name }}
- name: {{ $name }}-ca
  secret:
    secretName: {{ .name | quote }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}
{{- end }}
