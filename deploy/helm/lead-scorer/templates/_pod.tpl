{{- define "lead-scorer.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "lead-scorer.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ include "lead-scorer.text" .Values.runAsUser }}
runAsGroup: {{ include "lead-scorer.text" .Values.runAsUser }}
fsGroup: {{ include "lead-scorer.text" .Values.runAsUser }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What every pod needs to reach Kafka: the service, the test and the job of the topics. */}}
{{- define "lead-scorer.kafkaEnv" -}}
{{- $login := include "lead-scorer.login" . | fromJson }}
- name: SCORER_BOOTSTRAP_SERVERS
  value: {{ .Values.kafka.bootstrapServers | quote }}
- name: SCORER_SECURITY_PROTOCOL
  value: {{ .Values.kafka.securityProtocol }}
{{- if $login.sasl }}
- name: SCORER_SASL_MECHANISM
  value: {{ .Values.kafka.sasl.mechanism }}
{{- if $login.token }}
- name: SCORER_SASL_OAUTH_TOKEN_FILE
  value: /etc/lead-scorer/kafka-token/token
{{- else if $login.endpoint }}
- name: SCORER_SASL_OAUTH_TOKEN_URL
  value: {{ .Values.kafka.sasl.oauth.tokenUrl | quote }}
- name: SCORER_SASL_OAUTH_CLIENT_ID
  value: {{ .Values.kafka.sasl.oauth.clientId | quote }}
- name: SCORER_SASL_OAUTH_CLIENT_SECRET_FILE
  value: /etc/lead-scorer/kafka-login/{{ .Values.kafka.sasl.oauth.clientSecretKey }}
{{- with .Values.kafka.sasl.oauth.scope }}
- name: SCORER_SASL_OAUTH_SCOPE
  value: {{ . | quote }}
{{- end }}
{{- with .Values.kafka.sasl.oauth.caKey }}
- name: SCORER_SASL_OAUTH_CA_FILE
  value: /etc/lead-scorer/kafka-login/{{ . }}
{{- end }}
{{- else }}
{{- if .Values.kafka.sasl.usernameKey }}
- name: SCORER_SASL_USERNAME_FILE
  value: /etc/lead-scorer/kafka-login/{{ .Values.kafka.sasl.usernameKey }}
{{- else }}
- name: SCORER_SASL_USERNAME
  value: {{ $login.username | quote }}
{{- end }}
- name: SCORER_SASL_PASSWORD_FILE
  value: /etc/lead-scorer/kafka-login/{{ .Values.kafka.sasl.passwordKey }}
{{- end }}
{{- end }}
{{- if $login.ca }}
- name: SCORER_TLS_CA_FILE
  value: /etc/lead-scorer/kafka-ca/{{ .Values.kafka.tls.caKey }}
{{- end }}
{{- if $login.client }}
- name: SCORER_TLS_CERT_FILE
  value: /etc/lead-scorer/kafka-client/{{ .Values.kafka.tls.certKey }}
- name: SCORER_TLS_KEY_FILE
  value: /etc/lead-scorer/kafka-client/{{ .Values.kafka.tls.keyKey }}
{{- with .Values.kafka.tls.keyPasswordKey }}
- name: SCORER_TLS_KEY_PASSWORD_FILE
  value: /etc/lead-scorer/kafka-client/{{ . }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: SCORER_{{ snakecase $name | upper }}
  value: {{ include "lead-scorer.text" $value | quote }}
{{- end }}
{{- with include "lead-scorer.rules.directory" (dict "root" . "name" "shadow-rules" "spec" .Values.shadowRules) }}
- name: SCORER_SHADOW_RULES
  value: {{ . }}
{{- end }}
{{- end }}

{{/* The port for lead data. Its Secrets are whole directories, so that what is renewed arrives without a restart. */}}
{{- define "lead-scorer.apiEnv" -}}
{{- $api := .Values.api }}
{{- if $api.enabled }}
- name: SCORER_API_HOST
  value: {{ $api.host | quote }}
- name: SCORER_API_PORT
  value: {{ include "lead-scorer.text" $api.port | quote }}
{{- with include "lead-scorer.api.hosts" . }}
- name: SCORER_API_ALLOWED_HOSTS
  value: {{ . | quote }}
{{- end }}
{{- if $api.tokenSecret }}
- name: SCORER_API_TOKEN_FILE
  value: /etc/lead-scorer/api-tokens/{{ $api.tokenKey }}
{{- end }}
{{- if $api.tlsSecret }}
- name: SCORER_API_TLS_CERT_FILE
  value: /etc/lead-scorer/api-tls/{{ $api.certKey }}
- name: SCORER_API_TLS_KEY_FILE
  value: /etc/lead-scorer/api-tls/{{ $api.keyKey }}
{{- end }}
{{- if $api.clientCaSecret }}
- name: SCORER_API_CLIENT_CA_FILE
  value: /etc/lead-scorer/api-client-ca/{{ $api.clientCaKey }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lead-scorer.apiVolumes" -}}
{{- $api := .Values.api }}
{{- if $api.enabled }}
{{- range $name, $secret := dict "api-tokens" $api.tokenSecret "api-tls" $api.tlsSecret "api-client-ca" $api.clientCaSecret }}
{{- if $secret }}
- name: {{ $name }}
  secret: {secretName: {{ $secret }}, defaultMode: 288}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lead-scorer.apiMounts" -}}
{{- $api := .Values.api }}
{{- if $api.enabled }}
{{- range $name, $secret := dict "api-tokens" $api.tokenSecret "api-tls" $api.tlsSecret "api-client-ca" $api.clientCaSecret }}
{{- if $secret }}
- name: {{ $name }}
  mountPath: /etc/lead-scorer/{{ $name }}
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lead-scorer.rulesEnv" -}}
{{- with include "lead-scorer.rules.directory" (dict "root" . "name" "rules" "spec" .Values.rules) }}
- name: SCORER_RULES
  value: {{ . }}
{{- end }}
{{- end }}

{{/* The mode 288 is 0440: YAML has two ways to write it, and readers disagree. */}}
{{- define "lead-scorer.kafkaVolumes" -}}
{{- $login := include "lead-scorer.login" . | fromJson }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with $login.password }}
- name: kafka-login
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- if $login.token }}
- name: kafka-token
  projected:
    defaultMode: 288
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ .Values.kafka.sasl.oauth.audience | quote }}
          expirationSeconds: {{ include "lead-scorer.text" .Values.kafka.sasl.oauth.expirationSeconds }}
{{- end }}
{{- with $login.ca }}
- name: kafka-ca
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- with $login.client }}
- name: kafka-client
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- end }}

{{- define "lead-scorer.kafkaMounts" -}}
{{- $login := include "lead-scorer.login" . | fromJson }}
- name: tmp
  mountPath: /tmp
{{- if $login.password }}
- name: kafka-login
  mountPath: /etc/lead-scorer/kafka-login
  readOnly: true
{{- end }}
{{- if $login.token }}
- name: kafka-token
  mountPath: /etc/lead-scorer/kafka-token
  readOnly: true
{{- end }}
{{- if $login.ca }}
- name: kafka-ca
  mountPath: /etc/lead-scorer/kafka-ca
  readOnly: true
{{- end }}
{{- if $login.client }}
- name: kafka-client
  mountPath: /etc/lead-scorer/kafka-client
  readOnly: true
{{- end }}
{{- end }}

{{- define "lead-scorer.rulesVolumes" -}}
{{- include "lead-scorer.rules.volume" (dict "root" . "name" "rules" "spec" .Values.rules) }}
{{- include "lead-scorer.rules.volume" (dict "root" . "name" "shadow-rules" "spec" .Values.shadowRules) }}
{{- end }}

{{- define "lead-scorer.rulesMounts" -}}
{{- include "lead-scorer.rules.mount" (dict "root" . "name" "rules" "spec" .Values.rules) }}
{{- include "lead-scorer.rules.mount" (dict "root" . "name" "shadow-rules" "spec" .Values.shadowRules) }}
{{- end }}

{{- define "lead-scorer.rulesOnce" -}}
{{- if eq .Values.rules.source "git" }}
{{ include "lead-scorer.rules.git" (dict "root" . "name" "rules" "spec" .Values.rules "once" true) }}
{{- end }}
{{- if eq .Values.shadowRules.source "git" }}
{{ include "lead-scorer.rules.git" (dict "root" . "name" "shadow-rules" "spec" .Values.shadowRules "once" true) }}
{{- end }}
{{- end }}

{{- define "lead-scorer.podTemplate" -}}
{{- include "lead-scorer.check" . }}
metadata:
  labels:
    {{- include "lead-scorer.workerSelector" . | nindent 4 }}
    app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: scorer
    {{- if eq (default "on" .Values.settings.reload) "off" }}
    checksum/rules: {{ list .Values.rules.files .Values.shadowRules.files | toJson | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "lead-scorer.serviceAccountName" . }}
  automountServiceAccountToken: false
  # A Service named "scorer" would otherwise set SCORER_* variables, which the service refuses.
  enableServiceLinks: false
  # The service takes up to this time for its transactions, and again for leaving the group.
  terminationGracePeriodSeconds: {{ add (ceil (mulf 2 (default 20 .Values.settings.shutdownTimeoutS))) 10 }}
  securityContext:
    {{- include "lead-scorer.podSecurity" . | nindent 4 }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with include "lead-scorer.rulesOnce" . | trim }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: scorer
      image: {{ include "lead-scorer.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run]
      env:
        {{- include "lead-scorer.kafkaEnv" . | trim | nindent 8 }}
        {{- with include "lead-scorer.rulesEnv" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- if eq .Values.workload.kind "StatefulSet" }}
        - name: SCORER_INSTANCE
          valueFrom:
            fieldRef: {fieldPath: metadata.name}
        {{- end }}
        - name: SCORER_HTTP_HOST
          value: {{ .Values.ports.host | quote }}
        - name: SCORER_HTTP_PORT
          value: {{ include "lead-scorer.text" .Values.ports.http | quote }}
        {{- with include "lead-scorer.apiEnv" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - {name: http, containerPort: {{ include "lead-scorer.text" .Values.ports.http }}, protocol: TCP}
        {{- if and .Values.api.enabled (not (include "lead-scorer.api.loopback" .)) }}
        - {name: api, containerPort: {{ include "lead-scorer.text" .Values.api.port }}, protocol: TCP}
        {{- end }}
      startupProbe:
        httpGet: {path: /health/live, port: http}
        {{- toYaml .Values.probes.startup | nindent 8 }}
      livenessProbe:
        httpGet: {path: /health/live, port: http}
        {{- toYaml .Values.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: {path: /health/ready, port: http}
        {{- toYaml .Values.probes.readiness | nindent 8 }}
      securityContext:
        {{- include "lead-scorer.containerSecurity" . | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "lead-scorer.kafkaMounts" . | trim | nindent 8 }}
        {{- with include "lead-scorer.apiMounts" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with include "lead-scorer.rulesMounts" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- if eq .Values.rules.source "git" }}
    {{- include "lead-scorer.rules.git" (dict "root" . "name" "rules" "spec" .Values.rules "once" false) | trim | nindent 4 }}
    {{- end }}
    {{- if eq .Values.shadowRules.source "git" }}
    {{- include "lead-scorer.rules.git" (dict "root" . "name" "shadow-rules" "spec" .Values.shadowRules "once" false) | trim | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "lead-scorer.kafkaVolumes" . | trim | nindent 4 }}
    {{- with include "lead-scorer.apiVolumes" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with include "lead-scorer.rulesVolumes" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.topologySpread }}
  topologySpreadConstraints:
    {{- range . }}
    - topologyKey: {{ .topologyKey }}
      maxSkew: {{ include "lead-scorer.text" .maxSkew }}
      whenUnsatisfiable: {{ .whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "lead-scorer.workerSelector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
