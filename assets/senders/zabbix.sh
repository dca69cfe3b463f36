#!/bin/sh
# Zabbix tells Stormglass of a problem and of its end. Put it into AlertScriptsPath, and give the media type (Script)
# these parameters, in this order:
#
#   {EVENT.ID} {EVENT.NAME} {HOST.NAME} {EVENT.SEVERITY} {EVENT.STATUS}
#
# STORMGLASS_URL says where Stormglass listens; STORMGLASS_TOKEN_FILE names the senders' token, if it asks for one. The
# mapping is that of docs/sources.md: [[sources.webhook]] name = "zabbix".
set -eu

# A text as JSON has it: whatever stands in the name of a problem.
json() { printf '%s' "$1" | tr '\000-\037' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g'; }

body=$(printf '{"events":[{"eventid":"%s","name":"%s","host":"%s","severity":"%s","state":"%s"}]}' \
  "$(json "$1")" "$(json "$2")" "$(json "$3")" "$(json "$4")" "$(json "$5")")

set -- --header 'Content-Type: application/json'
if [ -n "${STORMGLASS_TOKEN_FILE:-}" ]; then
  set -- "$@" --header "Authorization: Bearer $(cat "$STORMGLASS_TOKEN_FILE")"
fi
# What is answered 503 is to be sent again; what is refused makes Zabbix show the reason.
printf '%s' "$body" | curl --silent --show-error --fail-with-body --max-time 20 --retry 5 "$@" --data-binary @- \
  "${STORMGLASS_URL:-http://127.0.0.1:9797}/webhook/in/zabbix"
