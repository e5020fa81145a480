#!/usr/bin/env bash
# curl in a script. client_test.go documents input and output.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

digest() { sha256sum <"$1" | cut -d ' ' -f 1; }

while IFS=$'\t' read -r method url count file length; do
  options=(-g -sS -L)
  [[ $length == 0 ]] || options+=(-H "X-Big: $(printf "%${length}s" | tr ' ' a)")
  [[ $file == - ]] || options+=(-H 'Content-Type: application/json' --data-binary "@$file")
  case $method in
    STREAM)
      curl "${options[@]}" -N -D "$work/header" "$url" | {
        IFS= read -r line
        echo "first $line" >&2
        { printf '%s\n' "$line" && cat; } >"$work/1"
      } 2>&1
      read -r _ status _ <"$work/header"
      echo "$status $(stat -c %s "$work/1") $(digest "$work/1") $url"
      continue
      ;;
    HEAD) options+=(--head) ;;
  esac
  for ((i = 1; i <= count; i++)); do # one process, which reuses its connection
    : >"$work/$i"
    options+=(-o "$work/$i" "$url")
  done
  curl "${options[@]}" -w '%{http_code} %{url_effective}\n' >"$work/results"
  i=0
  while read -r status effective; do
    i=$((i + 1))
    [[ $method != HEAD ]] || : >"$work/$i" # curl writes the header there
    echo "$status $(stat -c %s "$work/$i") $(digest "$work/$i") $effective"
  done <"$work/results"
done
