{{- define "lead-scorer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters: a StatefulSet adds a hash of 11 to the labels of its pods, which may have 63. */}}
{{- define "lead-scorer.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "lead-scorer.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "lead-scorer.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "lead-scorer.commonSelector" -}}
app.kubernetes.io/name: {{ include "lead-scorer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lead-scorer.workerSelector" -}}
{{ include "lead-scorer.commonSelector" . }}
app.kubernetes.io/component: worker
{{- end }}

{{- define "lead-scorer.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: lead-scorer
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "lead-scorer.labels" -}}
{{ include "lead-scorer.workerSelector" . }}
{{ include "lead-scorer.commonLabels" . }}
{{- end }}

{{- define "lead-scorer.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "lead-scorer.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "lead-scorer.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* A value as text. Helm reads whole numbers of a file as floating-point numbers and would write 1e+06. */}}
{{- define "lead-scorer.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}

{{- define "lead-scorer.group" -}}
{{- default "lead-scorer" .Values.settings.group }}
{{- end }}

{{/* Topics by their role, as JSON. `shadow` is missing without shadow rules. */}}
{{- define "lead-scorer.topics" -}}
{{- $set := .Values.settings }}
{{- $letters := default "lead.activity.dlq" $set.deadLetterTopic }}
{{- $routing := default "lead.routing" $set.routingTopic }}
{{- $topics := dict
      "activity" (default "lead.activity" $set.activityTopic)
      "routing" $routing
      "deadLetter" $letters
      "state" (default (printf "%s.lead-state" (include "lead-scorer.group" .)) $set.stateTopic)
      "replayMarks" (printf "%s.replayed" $letters) }}
{{- if ne .Values.shadowRules.source "none" }}
{{- $_ := set $topics "shadow" (default (printf "%s.shadow" $routing) $set.shadowTopic) }}
{{- end }}
{{- with $set.companyTopic }}
{{- $_ := set $topics "companies" . }}
{{- end }}
{{- toJson $topics }}
{{- end }}

{{/* The topics of other senders, as JSON. */}}
{{- define "lead-scorer.sourceTopics" -}}
{{- $activity := get (include "lead-scorer.topics" . | fromJson) "activity" }}
{{- $names := list }}
{{- range splitList "," (default "" .Values.settings.sources) }}
{{- $names = append $names (first (splitList ":" (trim .))) }}
{{- end }}
{{- toJson (without (compact $names | uniq) $activity) }}
{{- end }}

{{- define "lead-scorer.strimziNamespace" -}}
{{- default .Release.Namespace .Values.strimzi.namespace }}
{{- end }}

{{- define "lead-scorer.kafkaUser" -}}
{{- default (include "lead-scorer.fullname" .) .Values.strimzi.user.name }}
{{- end }}

{{/* The login: names of Secrets and keys, as JSON. Strimzi's names are known, so they need not be given. */}}
{{- define "lead-scorer.login" -}}
{{- $kafka := .Values.kafka }}
{{- $strimzi := .Values.strimzi }}
{{- $user := and $strimzi.enabled $strimzi.user.create }}
{{- $sasl := hasPrefix "SASL_" $kafka.securityProtocol }}
{{- $tls := hasSuffix "SSL" $kafka.securityProtocol }}
{{- $login := dict "sasl" $sasl "tls" $tls "token" false "endpoint" false "password" "" "username" "" "ca" "" "client" "" }}
{{- if $sasl }}
{{- if eq $kafka.sasl.mechanism "OAUTHBEARER" }}
{{- $_ := set $login "token" (not $kafka.sasl.oauth.tokenUrl) }}
{{- $_ := set $login "endpoint" (not (not $kafka.sasl.oauth.tokenUrl)) }}
{{- $_ := set $login "password" (ternary $kafka.sasl.existingSecret "" $login.endpoint) }}
{{- else }}
{{- $scram := and $user (eq $strimzi.user.authentication "scram-sha-512") }}
{{- $_ := set $login "password" (default (ternary (include "lead-scorer.kafkaUser" .) "" (not (not $scram))) $kafka.sasl.existingSecret) }}
{{- $_ := set $login "username" (default (ternary (include "lead-scorer.kafkaUser" .) "" (not (not $scram))) $kafka.sasl.username) }}
{{- end }}
{{- end }}
{{- if $tls }}
{{- $_ := set $login "ca" (default (ternary (printf "%s-cluster-ca-cert" $strimzi.cluster) "" $strimzi.enabled) $kafka.tls.caSecret) }}
{{- $mutual := and $user (eq $strimzi.user.authentication "tls") (not $sasl) }}
{{- $_ := set $login "client" (default (ternary (include "lead-scorer.kafkaUser" .) "" (not (not $mutual))) $kafka.tls.clientSecret) }}
{{- end }}
{{- toJson $login }}
{{- end }}

{{/* Not empty if only the pod itself reaches the port for lead data. */}}
{{- define "lead-scorer.api.loopback" -}}
{{- if or (hasPrefix "127." .Values.api.host) (has .Values.api.host (list "::1" "localhost")) }}yes{{ end }}
{{- end }}

{{/* The names under which clients reach the port for lead data. */}}
{{- define "lead-scorer.api.hosts" -}}
{{- $hosts := .Values.api.allowedHosts }}
{{- if not (include "lead-scorer.api.loopback" .) }}
{{- $name := include "lead-scorer.fullname" . }}
{{- $place := printf "%s.%s" $name .Release.Namespace }}
{{- range list $name $place (printf "%s.svc" $place) }}
{{- $hosts = concat $hosts (list . (printf "*.%s" .)) }}
{{- end }}
{{- end }}
{{- join "," $hosts }}
{{- end }}

{{/* Refuses what each value alone allows and all together do not. */}}
{{- define "lead-scorer.check" -}}
{{- $login := include "lead-scorer.login" . | fromJson }}
{{- $values := .Values }}
{{- $oauth := $values.kafka.sasl.oauth }}
{{- if $login.token }}
{{- if not $oauth.audience }}
{{- fail "kafka.sasl.mechanism is OAUTHBEARER; set kafka.sasl.oauth.audience for a token of the pod, or kafka.sasl.oauth.tokenUrl" }}
{{- end }}
{{- if $values.kafka.sasl.existingSecret }}
{{- fail "kafka.sasl.existingSecret is set, but the login is a token of the pod; expected kafka.sasl.oauth.tokenUrl" }}
{{- end }}
{{- if eq $values.autoscaling.kind "keda" }}
{{- fail "autoscaling.kind is keda, which cannot log in with a token of the pod; set kafka.sasl.oauth.tokenUrl, or scale by CPU" }}
{{- end }}
{{- else if and $login.endpoint (not (and $oauth.clientId $login.password)) }}
{{- fail "kafka.sasl.oauth.tokenUrl is set; set kafka.sasl.oauth.clientId and kafka.sasl.existingSecret too" }}
{{- end }}
{{- if and $oauth.audience $oauth.tokenUrl }}
{{- fail "kafka.sasl.oauth.audience and kafka.sasl.oauth.tokenUrl are both set; set one" }}
{{- end }}
{{- if and (or $oauth.audience $oauth.tokenUrl) (not (or $login.token $login.endpoint)) }}
{{- fail "kafka.sasl.oauth is set; expected kafka.sasl.mechanism OAUTHBEARER, and kafka.securityProtocol SASL_SSL" }}
{{- end }}
{{- $password := and $login.sasl (ne $values.kafka.sasl.mechanism "OAUTHBEARER") }}
{{- if and $password (not $login.password) }}
{{- fail (printf "kafka.sasl.existingSecret is not set, but kafka.securityProtocol is %s; name the Secret with the password" $values.kafka.securityProtocol) }}
{{- end }}
{{- if and $password (not $login.username) (not $values.kafka.sasl.usernameKey) }}
{{- fail (printf "kafka.sasl.username is not set, but kafka.securityProtocol is %s; set it, or kafka.sasl.usernameKey if the Secret has it" $values.kafka.securityProtocol) }}
{{- end }}
{{- if and (not $login.sasl) $values.kafka.sasl.existingSecret }}
{{- fail (printf "kafka.sasl.existingSecret is set, but kafka.securityProtocol is %s; expected SASL_SSL or SASL_PLAINTEXT" $values.kafka.securityProtocol) }}
{{- end }}
{{- if and (not $login.tls) (or $values.kafka.tls.caSecret $values.kafka.tls.clientSecret) }}
{{- fail (printf "kafka.tls is set, but kafka.securityProtocol is %s; expected SSL or SASL_SSL" $values.kafka.securityProtocol) }}
{{- end }}
{{- if $values.api.enabled }}
{{- if eq (int $values.ports.http) (int $values.api.port) }}
{{- fail "ports.http and api.port are the same; expected two ports" }}
{{- end }}
{{- if and (not (include "lead-scorer.api.loopback" .)) (not $values.api.tokenSecret) (not $values.api.clientCaSecret) }}
{{- fail (printf "api.host is %s, where everybody could read leads; set api.tokenSecret or api.clientCaSecret" $values.api.host) }}
{{- end }}
{{- if and $values.api.clientCaSecret (not $values.api.tlsSecret) }}
{{- fail "api.tlsSecret is not set, but api.clientCaSecret is; set both" }}
{{- end }}
{{- if and (include "lead-scorer.api.loopback" .) (or $values.service.leads $values.networkPolicy.leadsFrom) }}
{{- fail (printf "service.leads or networkPolicy.leadsFrom is set, but api.host is %s, which nobody reaches; expected 0.0.0.0" $values.api.host) }}
{{- end }}
{{- else if or $values.service.leads $values.networkPolicy.leadsFrom }}
{{- fail "service.leads or networkPolicy.leadsFrom is set, but api.enabled is false; set it" }}
{{- end }}
{{- if $values.strimzi.enabled }}
{{- if not $values.strimzi.cluster }}
{{- fail "strimzi.cluster is not set, but strimzi.enabled is true; set the name of the Kafka resource" }}
{{- end }}
{{- if and $values.strimzi.user.create (eq $values.strimzi.user.authentication "tls") (ne $values.kafka.securityProtocol "SSL") }}
{{- fail (printf "strimzi.user.authentication is tls, but kafka.securityProtocol is %s; expected SSL" $values.kafka.securityProtocol) }}
{{- end }}
{{- if and $values.strimzi.user.create (eq $values.strimzi.user.authentication "scram-sha-512") (or (not $login.sasl) (ne $values.kafka.sasl.mechanism "SCRAM-SHA-512")) }}
{{- fail "strimzi.user.authentication is scram-sha-512; expected kafka.securityProtocol SASL_SSL or SASL_PLAINTEXT, and kafka.sasl.mechanism SCRAM-SHA-512" }}
{{- end }}
{{- end }}
{{- $most := ternary $values.workload.replicas $values.autoscaling.maxReplicas (eq $values.autoscaling.kind "none") }}
{{- $partitions := 0 }}
{{- if and $values.strimzi.enabled $values.strimzi.topics.create }}
{{- $partitions = $values.strimzi.topics.partitions }}
{{- else if $values.topicsJob.enabled }}
{{- $partitions = $values.topicsJob.partitions }}
{{- end }}
{{- if and $partitions (gt (int $most) (int $partitions)) }}
{{- fail (printf "there would be up to %d workers for %d partitions; a worker without a partition has nothing to do" (int $most) (int $partitions)) }}
{{- end }}
{{- if and (ne $values.autoscaling.kind "none") (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas" }}
{{- end }}
{{- if and $values.topicsJob.enabled $values.strimzi.enabled $values.strimzi.topics.create }}
{{- fail "topicsJob.enabled and strimzi.topics.create are both true; the topics can have one creator" }}
{{- end }}
{{- range $role, $policy := dict "activity" "delete" "deadLetter" "delete" "state" "compact" "replayMarks" "compact" "companies" "compact" }}
{{- $given := get (get $values.strimzi.topics.config $role) "cleanup.policy" }}
{{- if and $given (ne $given $policy) }}
{{- fail (printf "strimzi.topics.config.%s has cleanup.policy %s; the service needs %s" $role $given $policy) }}
{{- end }}
{{- end }}
{{- range $name, $rules := dict "rules" $values.rules "shadowRules" $values.shadowRules }}
{{- if eq $rules.source "git" }}
{{- if and (regexMatch "^(ssh://|[^/:]+@[^/]+:)" $rules.git.repository) (ne $rules.git.credentials "ssh") }}
{{- fail (printf "%s.git.repository is reached by ssh, but %s.git.credentials is %s; expected ssh" $name $name $rules.git.credentials) }}
{{- end }}
{{- if and $values.networkPolicy.enabled (not $values.networkPolicy.extraEgress) }}
{{- fail (printf "%s.source is git, and networkPolicy.enabled lets nobody reach the Git server; set networkPolicy.extraEgress" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range list "activity" "routing" "deadLetter" "state" }}
{{- $role := . }}
{{- $topics := include "lead-scorer.topics" $ | fromJson }}
{{- range $other, $name := $topics }}
{{- if and (ne $role $other) (eq $name (get $topics $role)) }}
{{- fail (printf "two topics have the name %s; expected different names" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
