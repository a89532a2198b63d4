{{- /* What a schema can't say, or not in words: each message says what would be right. */ -}}
{{- define "outgate.validate" -}}
{{- $feature := .Values.feature -}}
{{- if not (or $feature.enableIPv4 $feature.enableIPv6) -}}
{{- fail "feature.enableIPv4 and feature.enableIPv6 are both false: enable at least one" -}}
{{- end -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+){3}/([1-9]|[12][0-9])$" $feature.tunnelIpv4Subnet) -}}
{{- fail (printf "feature.tunnelIpv4Subnet %q: must be an IPv4 CIDR of /29 or shorter, such as 198.18.192.0/18" $feature.tunnelIpv4Subnet) -}}
{{- end -}}
{{- if not (regexMatch "^[0-9a-fA-F:]*:[0-9a-fA-F:.]*/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-5])$" $feature.tunnelIpv6Subnet) -}}
{{- fail (printf "feature.tunnelIpv6Subnet %q: must be an IPv6 CIDR of /125 or shorter, such as fd6f:7574:6761:7465::/64" $feature.tunnelIpv6Subnet) -}}
{{- end -}}
{{- if not (regexMatch "^(defaultRouteInterface|interface=[^/\\s]{1,15})$" $feature.tunnelDetectMethod) -}}
{{- fail (printf "feature.tunnelDetectMethod %q: must be defaultRouteInterface, or interface=NAME, such as interface=eth0" $feature.tunnelDetectMethod) -}}
{{- end -}}
{{- $mask := toString .Values.datapath.markMask -}}
{{- if not (regexMatch "^(0x0*[0-9a-fA-F]{1,4}|[1-9][0-9]{0,4})$" $mask) -}}
{{- fail (printf "datapath.markMask %q: must be two or more neighbouring bits of the low 16, such as \"0xff\" or \"0x3f00\"" $mask) -}}
{{- end -}}
{{- $accept := toString .Values.datapath.acceptMark -}}
{{- if not (regexMatch "^(0x[0-9a-fA-F]{1,8}|[0-9]{1,10})$" $accept) -}}
{{- fail (printf "datapath.acceptMark %q: must be a packet mark of 32 bits, such as \"0x10000\" for Calico, or \"0\" for none" $accept) -}}
{{- end -}}
{{- if le (float64 .Values.controller.heartbeatStale) (float64 .Values.agent.heartbeat) -}}
{{- fail (printf "controller.heartbeatStale %v: must be longer than agent.heartbeat (%v), or healthy agents count as silent; three times is good" .Values.controller.heartbeatStale .Values.agent.heartbeat) -}}
{{- end -}}
{{- $t := .Values.vip.timing -}}
{{- $silence := mulf $t.interval $t.misses -}}
{{- $outlasts := addf (mulf $t.lease 1.1053) 0.015 -}}
{{- if lt $silence $outlasts -}}
{{- fail (printf "vip.timing: interval times misses is %v s, so a silent node may still answer; with a lease of %v s it must be at least %v s" $silence $t.lease $outlasts) -}}
{{- end -}}
{{- if lt (float64 $t.lease) (mulf 2.2106 $t.interval) -}}
{{- fail (printf "vip.timing.lease %v: one lost heartbeat would let an address go; with heartbeats every %v s it must be at least %v s" $t.lease $t.interval (mulf 2.2106 $t.interval)) -}}
{{- end -}}
{{- if lt (float64 $t.withhold) (mulf 1.1053 $t.freshness) -}}
{{- fail (printf "vip.timing.withhold %v: must outlast freshness, and so be at least %v" $t.withhold (mulf 1.1053 $t.freshness)) -}}
{{- end -}}
{{- range .Values.controller.serviceCIDRs -}}
{{- if not (regexMatch "^[0-9a-fA-F:.]+/[0-9]{1,3}$" .) -}}
{{- fail (printf "controller.serviceCIDRs %q: must be CIDRs, such as 10.96.0.0/12" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
