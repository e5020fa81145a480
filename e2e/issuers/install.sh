#!/usr/bin/env bash
# Installs the issuers of the end-to-end tests that are not Debian's packages.
#
#   issuers/install.sh          into issuers/.installed, where the tests look
#   issuers/install.sh DIR      into DIR, which E2E_ISSUERS then gives to the tests
#
# Each part replaces what an earlier run has installed. A part that fails does not stop
# the others. The script then prints its name, and the exit code is 1.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-$here/.installed}"
readonly here dir=$(cd "${1:-$here/.installed}" && pwd)
readonly -a parts=(oidc_provider hydra zitadel)

# begin NAME makes an empty directory for a part, and prints its path. The part is not
# there for the tests until it calls end NAME.
begin() {
  rm -rf "$dir/.new-$1"
  mkdir "$dir/.new-$1"
  printf %s "$dir/.new-$1"
}

end() {
  rm -rf "${dir:?}/$1"
  mv "$dir/.new-$1" "$dir/$1"
}

# panva's oidc-provider 8 runs on the Node 18 and 20 of Debian 12 and 13.
oidc_provider() {
  local into
  into=$(begin oidc-provider)
  cp "$here"/oidc-provider/package.json "$here"/oidc-provider/package-lock.json "$into"
  (cd "$into" && npm ci --ignore-scripts --no-audit --no-fund)
  end oidc-provider
}

# Ory Hydra's database in memory is SQLite in C, so this part needs a C compiler. Hydra's
# go.mod has replace directives, with which go install refuses it; hydra/go.mod has them.
hydra() {
  go build -C "$here/hydra" -trimpath -tags sqlite -o "$dir/hydra" github.com/ory/hydra/v2
}

# The example server of zitadel/oidc takes its client and its lifetimes from code only.
zitadel() {
  go build -C "$here/zitadel" -trimpath -o "$dir/zitadel" .
}

failed=()
for part in "${parts[@]}"; do
  printf -- '--- %s\n' "$part"
  # A command that is tested runs without set -e, so its status is taken afterwards.
  set +e
  (
    set -e
    "$part"
  )
  status=$?
  set -e
  ((status == 0)) || failed+=("$part")
done
if ((${#failed[@]})); then
  printf 'install.sh: not installed: %s\n' "${failed[*]}" >&2
  exit 1
fi
