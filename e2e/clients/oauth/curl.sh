#!/bin/sh
# curl as an OAuth client. oauth_clients_test.go documents input and output.
while read -r url; do
  answer=$(curl -sS -u any:thing -d grant_type=client_credentials "$url")
  member() { printf %s "$answer" | sed -n "s/.*\"$1\":\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p"; }
  case $answer in
    *'"access_token"'*) echo "token $(member expires_in) $(member access_token)" ;;
    *) echo "error $(member error)" ;;
  esac
done
