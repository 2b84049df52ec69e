{{/* The alerts select by the job, so it has the same name whatever the release is called. */}}
{{- define "lead-scorer.endpoint" -}}
- port: http
  path: /metrics
  interval: {{ .Values.monitoring.interval }}
  relabelings:
    - {targetLabel: job, replacement: {{ .Values.monitoring.job }}}
{{- end }}

{{/* The groups of both rule files, as YAML: copies of those of deploy/mixin, which a test compares. */}}
{{- define "lead-scorer.ruleGroups" -}}
{{- $place := .Values.monitoring.runbookUrl }}
{{- $groups := list }}
{{- range list "files/recording-rules.yaml" "files/alerts.yaml" }}
{{- $text := $.Files.Get . }}
{{- $text = replace "job=\"lead-scorer\"" (printf "job=\"%s\"" $.Values.monitoring.job) $text }}
{{- if $place }}
{{- $text = regexReplaceAll "(runbook_url: )\\S*/" $text (printf "${1}%s/" (trimSuffix "/" $place)) }}
{{- end }}
{{- $groups = concat $groups (get (fromYaml $text) "groups") }}
{{- end }}
{{- if $groups }}
{{- toYaml $groups }}
{{- else -}}
[]
{{- end }}
{{- end }}
