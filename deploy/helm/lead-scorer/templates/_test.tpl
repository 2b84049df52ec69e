{{/* A pod of `helm test`. Takes a dict: root, what (its name), kafka (whether it logs in), arguments of scorer. */}}
{{- define "lead-scorer.testPod" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "lead-scorer.fullname" .root }}-test-{{ .what }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lead-scorer.commonSelector" .root | nindent 4 }}
    app.kubernetes.io/component: test
    {{- include "lead-scorer.commonLabels" .root | nindent 4 }}
  annotations:
    helm.sh/hook: test
    # A pod that has succeeded stays, because `helm test --logs` reads the logs after the tests.
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "lead-scorer.serviceAccountName" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    {{- include "lead-scorer.podSecurity" .root | nindent 4 }}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "lead-scorer.rulesOnce" .root | trim }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    # One only: `helm test --logs` does not say which.
    - name: {{ .what }}
      image: {{ include "lead-scorer.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: {{ toJson .arguments }}
      {{- if .kafka }}
      env:
        {{- include "lead-scorer.kafkaEnv" .root | trim | nindent 8 }}
        {{- with .root.Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- else if .root.Values.settings.maxRecordBytes }}
      env:
        - {name: SCORER_MAX_RECORD_BYTES, value: {{ include "lead-scorer.text" .root.Values.settings.maxRecordBytes | quote }}}
      {{- end }}
      securityContext:
        {{- include "lead-scorer.containerSecurity" .root | nindent 8 }}
      resources:
        requests: {cpu: 100m, memory: 192Mi}
        limits: {memory: 1Gi}
      volumeMounts:
        {{- if .kafka }}
        {{- include "lead-scorer.kafkaMounts" .root | trim | nindent 8 }}
        {{- else }}
        - name: tmp
          mountPath: /tmp
        {{- end }}
        {{- with include "lead-scorer.rulesMounts" .root | trim }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "lead-scorer.kafkaVolumes" .root | trim | nindent 4 }}
    {{- with include "lead-scorer.rulesVolumes" .root | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}
