#!/bin/sh
# Nagios (Icinga, Naemon) tells Stormglass of a service or host that is not OK, and of its end. As notify command:
#
#   command_line /usr/local/bin/stormglass-nagios.sh "$HOSTNAME$" "$SERVICEDESC$" "$SERVICESTATE$" "$SERVICEOUTPUT$"
#   command_line /usr/local/bin/stormglass-nagios.sh "$HOSTNAME$" "host" "$HOSTSTATE$" "$HOSTOUTPUT$"
#
# STORMGLASS_URL says where Stormglass listens; STORMGLASS_TOKEN_FILE names the senders' token, if it asks for one. The
# mapping is that of docs/sources.md: [[sources.webhook]] name = "nagios".
set -eu

# A text as JSON has it: whatever a plugin prints.
json() { printf '%s' "$1" | tr '\000-\037' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g'; }

body=$(printf '{"events":[{"id":"%s/%s","name":"%s","host":"%s","state":"%s","output":"%s"}]}' \
  "$(json "$1")" "$(json "$2")" "$(json "$2")" "$(json "$1")" "$(json "$3")" "$(json "$4")")

set -- --header 'Content-Type: application/json'
if [ -n "${STORMGLASS_TOKEN_FILE:-}" ]; then
  set -- "$@" --header "Authorization: Bearer $(cat "$STORMGLASS_TOKEN_FILE")"
fi
# What is answered 503 is to be sent again; what is refused stands in Nagios' log.
printf '%s' "$body" | curl --silent --show-error --fail-with-body --max-time 20 --retry 5 "$@" --data-binary @- \
  "${STORMGLASS_URL:-http://127.0.0.1:9797}/webhook/in/nagios"
