{{- /* The pods that clean each node. Applied by `outgate uninstall`, not by helm: only after the agents are gone. */ -}}
{{- define "outgate.cleanup" -}}
metadata:
  name: {{ include "outgate.fullname" . }}-cleanup
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "outgate.labels" (list . "cleanup") | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- include "outgate.selector" (list . "cleanup") | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "outgate.selector" (list . "cleanup") | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      {{- include "outgate.pullSecrets" . | nindent 6 }}
      {{- with .Values.agent.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      hostNetwork: true
      terminationGracePeriodSeconds: 0
      securityContext:
        seccompProfile:
          type: RuntimeDefault
      initContainers:
        - name: cleanup
          image: {{ include "outgate.image" . }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          command: [outgate-agent, --cleanup]
          env:
            {{- include "outgate.nodeEnvironment" . | nindent 12 }}
          securityContext:
            {{- include "outgate.network" (list "NET_ADMIN") | nindent 12 }}
          resources:
            {{- toYaml .Values.agent.resources | nindent 12 }}
          volumeMounts:
            - name: run
              mountPath: /run/outgate
      volumes:
        - name: run
          hostPath:
            path: /run/outgate
            type: DirectoryOrCreate
      containers:
        # Its being there says that the node is clean.
        - name: clean
          image: {{ include "outgate.image" . }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          command: [sleep, infinity]
          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            runAsGroup: 65532
            {{- include "outgate.unprivileged" . | nindent 12 }}
          resources:
            requests: {cpu: 1m, memory: 4Mi}
            limits: {memory: 32Mi}
      {{- with .Values.agent.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.agent.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
