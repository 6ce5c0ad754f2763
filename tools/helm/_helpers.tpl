{{- define "mcs-controller.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- /* A map of names and booleans as the flag's value. */ -}}
{{- define "mcs-controller.gates" -}}
{{- $pairs := list -}}
{{- range $name, $on := . }}{{ $pairs = append $pairs (printf "%s=%t" $name $on) }}{{ end -}}
{{- join "," $pairs -}}
{{- end -}}

{{- define "mcs-controller.cluster" -}}
{{- required "clusterName is needed in this mode: the name of the Pull cluster's Cluster" .Values.clusterName -}}
{{- end -}}
