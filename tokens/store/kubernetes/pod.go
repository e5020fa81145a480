package kubernetes

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// podOf returns NAMESPACE/NAME/UID/ of the pod for which a ServiceAccount token was made,
// and "" for a token that names none. The kubelet binds the tokens of a pod to it
// (kubernetes.io, "Managing Service Accounts"). The token is this process's own, so its
// signature is not checked.
func podOf(token string) string {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Kubernetes struct {
			Namespace string `json:"namespace"`
			Pod       struct {
				Name string `json:"name"`
				UID  string `json:"uid"`
			} `json:"pod"`
		} `json:"kubernetes.io"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	pod := ""
	for _, part := range []string{claims.Kubernetes.Namespace, claims.Kubernetes.Pod.Name, claims.Kubernetes.Pod.UID} {
		if part == "" || len(part) > 253 || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			return ""
		}
		pod += part + "/"
	}
	return pod
}
