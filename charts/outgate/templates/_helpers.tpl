{{- define "outgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "outgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "outgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "outgate.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What selects pods: never to change, selectors are immutable. Call with (list . COMPONENT). */ -}}
{{- define "outgate.selector" -}}
app.kubernetes.io/name: {{ include "outgate.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "outgate.labels" -}}
{{ include "outgate.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "outgate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "outgate.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* For pods that need nothing of the node. */ -}}
{{- define "outgate.unprivileged" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}

{{- /* For what works on the node's network. Root, since only root can be given capabilities. */ -}}
{{- define "outgate.network" -}}
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  add: {{ toJson . }}
readOnlyRootFilesystem: true
{{- end -}}

{{- /* Settings that controller and agents must agree upon. */ -}}
{{- define "outgate.meshEnvironment" -}}
- name: OUTGATE_TUNNEL_SUBNET4
  value: {{ ternary .Values.feature.tunnelIpv4Subnet "none" .Values.feature.enableIPv4 | quote }}
- name: OUTGATE_TUNNEL_SUBNET6
  value: {{ ternary .Values.feature.tunnelIpv6Subnet "none" .Values.feature.enableIPv6 | quote }}
- name: OUTGATE_MARK_MASK
  value: {{ .Values.datapath.markMask | quote }}
{{- end -}}

{{- /* What the agent puts on a node, and how: also what `--cleanup` has to look for. */ -}}
{{- define "outgate.nodeEnvironment" -}}
{{ include "outgate.meshEnvironment" . }}
- name: OUTGATE_TUNNEL_DETECT_METHOD
  value: {{ .Values.feature.tunnelDetectMethod | quote }}
- name: OUTGATE_VXLAN_ID
  value: {{ .Values.feature.vxlan.id | quote }}
- name: OUTGATE_VXLAN_PORT
  value: {{ .Values.feature.vxlan.port | quote }}
- name: OUTGATE_TABLE_BASE
  value: {{ .Values.datapath.tableBase | quote }}
- name: OUTGATE_RULE_PRIORITY
  value: {{ .Values.datapath.rulePriority | quote }}
- name: OUTGATE_REPLY_ROUTE
  value: {{ .Values.feature.enableGatewayReplyRoute | quote }}
- name: OUTGATE_LOG_LEVEL
  value: {{ .Values.agent.logLevel }}
- name: OUTGATE_LOG_FORMAT
  value: json
{{- end -}}

{{- /* A service account's token for one container of a pod, not for all of them. */ -}}
{{- define "outgate.tokenVolume" -}}
name: token
projected:
  defaultMode: 0400
  sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3607
    - configMap:
        name: kube-root-ca.crt
        items:
          - key: ca.crt
            path: ca.crt
    - downwardAPI:
        items:
          - path: namespace
            fieldRef:
              fieldPath: metadata.namespace
{{- end -}}
