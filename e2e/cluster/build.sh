#!/usr/bin/env bash
# Builds the program cluster.
#
#   build.sh OUT
set -euo pipefail
(($# == 1)) || { echo 'usage: build.sh OUT' >&2; exit 2; }
out=$(realpath -m -- "$1")
cd "$(dirname "$0")"
export GOWORK=off CGO_ENABLED=0
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
# Without the version, /version answers v0.0.0-master. Without -buildvcs=false, each commit would
# have the program linked again.
go build -buildvcs=false -trimpath \
  -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$out" .
