#!/usr/bin/env bash
# Runs redis-server with the command's arguments, as the official image does: as the user redis, in /data, and open to other
# hosts without a password too (the official build has its protected mode off).
set -euo pipefail

[[ ${1:-} == -* || ${1:-} == *.conf ]] && set -- redis-server "$@"
[[ ${1:-} == redis-server ]] || exec "$@"
if ((EUID == 0)); then
  find . \! -user redis -exec chown redis '{}' +
  exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
fi
[[ " $* " == *" --protected-mode "* ]] || set -- "$@" --protected-mode no
exec "$@"
