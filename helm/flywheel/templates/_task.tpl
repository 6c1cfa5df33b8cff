{{/*
The pod of commands that run once, each in a container of its own, with what the servers ask for. Takes a dict:
  root    $
  tasks   dict of container name to arguments of `flywheel`
  account service account whose token is mounted; none: the one without rights, without a token
*/}}
{{- define "flywheel.task" -}}
{{- $root := .root }}
{{- $distributed := eq $root.Values.mode "distributed" -}}
serviceAccountName: {{ .account | default (include "flywheel.fullname" $root) }}
automountServiceAccountToken: {{ not (empty .account) }}
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
securityContext: {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
containers:
  {{- range $name, $args := .tasks }}
  - name: {{ $name }}
    image: {{ include "flywheel.image" $root | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command: [flywheel]
    args: {{- toYaml $args | nindent 6 }}
    workingDir: /app
    env:
      - {name: HOME, value: /tmp}
      {{- if $distributed }}
      {{- include "flywheel.secrets" $root | trim | nindent 6 }}
      {{- end }}
      {{- with $root.Values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $root.Values.extraEnvFrom }}
    envFrom: {{- toYaml . | nindent 6 }}
    {{- end }}
    resources: {requests: {cpu: 100m, memory: 256Mi}}
    securityContext: {{- toYaml $root.Values.securityContext | nindent 6 }}
    volumeMounts:
      - {name: config, mountPath: /app/config, readOnly: true}
      - {name: data, mountPath: /data}
      - {name: tmp, mountPath: /tmp}
      {{- if $distributed }}
      {{- include "flywheel.caMounts" $root | trim | nindent 6 }}
      {{- end }}
  {{- end }}
volumes:
  - {name: config, configMap: {name: {{ include "flywheel.fullname" $root }}}}
  - {name: data, emptyDir: {}}
  - {name: tmp, emptyDir: {}}
  {{- if $distributed }}
  {{- include "flywheel.caVolumes" $root | trim | nindent 2 }}
  {{- end }}
{{- end }}
