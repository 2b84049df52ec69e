{{/* Rules and shadow rules. Each takes a dict: root, name ("rules" or "shadow-rules"), spec (the values). */}}

{{- define "lead-scorer.rules.folder" -}}
{{- printf "/etc/lead-scorer/%s" .name }}
{{- end }}

{{/* The directory of the ruleset; empty if the image has it. */}}
{{- define "lead-scorer.rules.directory" -}}
{{- if has .spec.source (list "inline" "configMap" "volume" "oci") }}
{{- list (include "lead-scorer.rules.folder" .) .spec.path | compact | join "/" }}
{{- else if eq .spec.source "git" }}
{{- list (include "lead-scorer.rules.folder" .) "current" .spec.path | compact | join "/" }}
{{- end }}
{{- end }}

{{- define "lead-scorer.rules.volume" -}}
{{- $spec := .spec }}
{{- if has $spec.source (list "inline" "configMap" "volume" "oci" "git") }}
- name: {{ .name }}
  {{- if eq $spec.source "inline" }}
  configMap:
    name: {{ include "lead-scorer.fullname" .root }}-{{ .name }}
  {{- else if eq $spec.source "configMap" }}
  configMap:
    name: {{ required (printf "%s.source is configMap; set its configMap" .name) $spec.configMap }}
  {{- else if eq $spec.source "volume" }}
  {{- toYaml $spec.volume | nindent 2 }}
  {{- else if eq $spec.source "oci" }}
  image:
    reference: {{ required (printf "%s.source is oci; set its oci.reference" .name) $spec.oci.reference }}
    pullPolicy: {{ $spec.oci.pullPolicy }}
  {{- else if eq $spec.source "git" }}
  emptyDir:
    sizeLimit: 256Mi
- name: {{ .name }}-git-tmp
  emptyDir:
    sizeLimit: 64Mi
  {{- if ne $spec.git.credentials "none" }}
- name: {{ .name }}-git-secret
  secret:
    secretName: {{ required (printf "%s.git.credentials is %s; set git.existingSecret" .name $spec.git.credentials) $spec.git.existingSecret }}
    defaultMode: 288
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The whole directory is mounted, never a subPath: Kubernetes does not update those. */}}
{{- define "lead-scorer.rules.mount" -}}
{{- if has .spec.source (list "inline" "configMap" "volume" "oci" "git") }}
- name: {{ .name }}
  mountPath: {{ include "lead-scorer.rules.folder" . }}
  readOnly: true
{{- end }}
{{- end }}

{{/* git-sync, version 4: `once` fetches before the service starts, the other one keeps up. */}}
{{- define "lead-scorer.rules.git" -}}
{{- $git := .spec.git }}
- name: {{ .name }}-git{{ if .once }}-first{{ end }}
  image: {{ required (printf "%s.source is git; set git.image, such as git-sync of the Kubernetes project with a version" .name) $git.image }}
  args:
    - --repo={{ required (printf "%s.source is git; set git.repository" .name) $git.repository }}
    - --ref={{ $git.ref }}
    - --root={{ include "lead-scorer.rules.folder" . }}
    - --link=current
    {{- if .once }}
    - --one-time
    {{- else }}
    - --period={{ $git.period }}
    - --max-failures=-1
    {{- end }}
    {{- if eq $git.credentials "ssh" }}
    - --ssh-key-file=/etc/git-secret/ssh
    - --ssh-known-hosts-file=/etc/git-secret/known_hosts
    {{- else if eq $git.credentials "password" }}
    - --password-file=/etc/git-secret/password
    {{- end }}
  {{- if eq $git.credentials "password" }}
  env:
    - name: GITSYNC_USERNAME
      valueFrom:
        secretKeyRef: {name: {{ $git.existingSecret }}, key: username}
  {{- end }}
  securityContext:
    {{- if eq $git.credentials "ssh" }}
    # ssh wants a user with a name, and this is the one that the image of git-sync has.
    runAsUser: 65533
    runAsGroup: 65533
    {{- end }}
    {{- include "lead-scorer.containerSecurity" .root | nindent 4 }}
  resources:
    {{- toYaml $git.resources | nindent 4 }}
  volumeMounts:
    - name: {{ .name }}
      mountPath: {{ include "lead-scorer.rules.folder" . }}
    - name: {{ .name }}-git-tmp
      mountPath: /tmp
    {{- if ne $git.credentials "none" }}
    - name: {{ .name }}-git-secret
      mountPath: /etc/git-secret
      readOnly: true
    {{- end }}
{{- end }}

{{/* A ConfigMap with the files, which together may have 1 MiB. */}}
{{- define "lead-scorer.rules.configMap" -}}
{{- if not .spec.files }}
{{- fail (printf "%s.source is inline and there are no files; use --set-file, or another source" .name) }}
{{- end }}
{{- $bytes := 0 }}
{{- range $file, $text := .spec.files }}
{{- $bytes = add $bytes (len $file) (len $text) }}
{{- end }}
{{- if gt $bytes 1048576 }}
{{- fail (printf "the files of %s have %d bytes and a ConfigMap holds 1048576; use source volume, oci or git" .name $bytes) }}
{{- end }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "lead-scorer.fullname" .root }}-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lead-scorer.labels" .root | nindent 4 }}
data:
  {{- range $file, $text := .spec.files }}
  {{ $file | quote }}: {{ $text | quote }}
  {{- end }}
{{- end }}
