{{/*
The operations that each command needs, as in the table "Permissions" of docs/operations.md, which a test compares.
Read, Write and Delete include Describe.
*/}}
{{- define "lead-scorer.acls" -}}
{{- $topics := include "lead-scorer.topics" . | fromJson }}
{{- $group := include "lead-scorer.group" . }}
{{- $shadow := ne .Values.shadowRules.source "none" }}
{{- $companies := hasKey $topics "companies" }}
{{- $sources := list }}
{{- range include "lead-scorer.sourceTopics" . | fromJsonArray }}
{{- $_ := set $topics (printf "source/%s" .) . }}
{{- $sources = append $sources (printf "source/%s" .) }}
{{- end }}
{{- $needs := list }}
{{- range prepend .Values.strimzi.user.commands "run" | uniq }}
{{- if eq . "run" }}
{{- $needs = concat $needs (list "topic activity Read" "topic state Read" "topic state Write" "topic routing Write" "topic deadLetter Write" "group Read" "workers Write") }}
{{- if eq (toString $.Values.settings.createTopics) "true" }}
{{- $needs = concat $needs (list "create activity" "create routing" "create deadLetter" "create state" "create replayMarks") }}
{{- if $shadow }}
{{- $needs = append $needs "create shadow" }}
{{- end }}
{{- if $companies }}
{{- $needs = append $needs "create companies" }}
{{- end }}
{{- end }}
{{- range $sources }}
{{- $needs = append $needs (printf "topic %s Read" .) }}
{{- end }}
{{- if $companies }}
{{- $needs = append $needs "topic companies Read" }}
{{- end }}
{{- if or $sources $companies (eq (default "" $.Values.settings.nullKeys) "rekey") (ne (toString $.Values.settings.tickSeconds) "0") }}
{{- $needs = append $needs "topic activity Write" }}
{{- end }}
{{- if $shadow }}
{{- $needs = append $needs "topic shadow Write" }}
{{- end }}
{{- else if eq . "topics ensure" }}
{{- $needs = concat $needs (list "create activity" "create routing" "create deadLetter" "create state" "create replayMarks") }}
{{- if $shadow }}
{{- $needs = append $needs "create shadow" }}
{{- end }}
{{- if $companies }}
{{- $needs = append $needs "create companies" }}
{{- end }}
{{- range $sources }}
{{- $needs = append $needs (printf "topic %s Describe" .) }}
{{- end }}
{{- else if has . (list "topics dump" "score" "backtest" "report" "explain") }}
{{- $needs = append $needs "topic activity Read" }}
{{- else if eq . "dlq list" }}
{{- $needs = concat $needs (list "topic deadLetter Read" "topic replayMarks Read") }}
{{- else if eq . "dlq replay" }}
{{- $needs = concat $needs (list "topic deadLetter Read" "topic replayMarks Read" "topic replayMarks Write" "topic activity Write" "replay Write") }}
{{- range $sources }}
{{- $needs = append $needs (printf "topic %s Write" .) }}
{{- end }}
{{- else if eq . "dlq purge" }}
{{- $needs = concat $needs (list "topic deadLetter Read" "topic deadLetter Write" "topic deadLetter Delete" "purge Write") }}
{{- else if eq . "offsets show" }}
{{- $needs = concat $needs (list "topic activity Read" "topic state Read" "group Describe") }}
{{- range $sources }}
{{- $needs = append $needs (printf "topic %s Read" .) }}
{{- end }}
{{- else if eq . "offsets reset" }}
{{- $needs = concat $needs (list "topic activity Read" "topic state Read" "topic state Write" "group Read" "workers Write") }}
{{- range $sources }}
{{- $needs = append $needs (printf "topic %s Read" .) }}
{{- end }}
{{- else if eq . "retention" }}
{{- $needs = append $needs "topic state Read" }}
{{- end }}
{{- end }}
{{- $acls := dict }}
{{- range $need := $needs }}
{{- $words := splitList " " $need }}
{{- $operations := list (last $words) }}
{{- $resource := dict }}
{{- if eq (first $words) "topic" }}
{{- $resource = dict "type" "topic" "name" (get $topics (index $words 1)) }}
{{- else if eq (first $words) "create" }}
{{- $resource = dict "type" "topic" "name" (get $topics (index $words 1)) }}
{{- $operations = list "Describe" "Create" }}
{{- else if eq (first $words) "group" }}
{{- $resource = dict "type" "group" "name" $group }}
{{- else if eq (first $words) "workers" }}
{{- $resource = dict "type" "transactionalId" "name" (printf "%s-" $group) "patternType" "prefix" }}
{{- else if eq (first $words) "replay" }}
{{- $resource = dict "type" "transactionalId" "name" (printf "%s.replay" (get $topics "deadLetter")) }}
{{- else if eq (first $words) "purge" }}
{{- $resource = dict "type" "transactionalId" "name" (printf "%s.purge" (get $topics "deadLetter")) }}
{{- end }}
{{- if not (hasKey $resource "patternType") }}
{{- $_ := set $resource "patternType" "literal" }}
{{- end }}
{{- if and $.Values.strimzi.user.describeConfigs (eq (get $resource "type") "topic") }}
{{- $operations = append $operations "DescribeConfigs" }}
{{- end }}
{{- $key := toJson $resource }}
{{- $known := list }}
{{- if hasKey $acls $key }}
{{- $known = get (get $acls $key) "operations" }}
{{- end }}
{{- $_ := set $acls $key (dict "type" "allow" "resource" $resource "host" "*" "operations" (concat $known $operations | uniq | sortAlpha)) }}
{{- end }}
{{- range $key := keys $acls | sortAlpha }}
{{ list (get $acls $key) | toYaml }}
{{- end }}
{{- end }}
