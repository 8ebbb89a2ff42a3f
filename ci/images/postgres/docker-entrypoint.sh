#!/usr/bin/env bash
# Makes a cluster on the first start and runs the server, by the conventions of the official image: POSTGRES_PASSWORD,
# POSTGRES_USER, POSTGRES_DB (each also as …_FILE), POSTGRES_HOST_AUTH_METHOD, POSTGRES_INITDB_ARGS, PGDATA. What it leaves out:
# /docker-entrypoint-initdb.d.
set -euo pipefail

[[ ${1:-} == -* ]] && set -- postgres "$@"
[[ ${1:-} == postgres ]] || exec "$@"

if ((EUID == 0)); then
  mkdir -p "$PGDATA"
  chown -R postgres: "$PGDATA"
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

value() { # value NAME DEFAULT: of NAME, or of the file that NAME_FILE names
  local file=$1_FILE
  if [[ -n ${!file:-} ]]; then
    [[ -z ${!1:-} ]] || { printf 'error: both %s and %s are set\n' "$1" "$file" >&2; exit 1; }
    cat "${!file}"
  else
    printf '%s' "${!1:-$2}"
  fi
}

if [[ ! -s $PGDATA/PG_VERSION ]]; then
  user=$(value POSTGRES_USER postgres)
  password=$(value POSTGRES_PASSWORD "")
  database=$(value POSTGRES_DB "$user")
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  [[ -n $password || $method == trust ]] || {
    printf 'error: the database is uninitialized and no superuser password is given\n\nhint: set POSTGRES_PASSWORD\n' >&2
    exit 1
  }
  read -ra more <<<"${POSTGRES_INITDB_ARGS:-}"
  # An empty password is refused, and with `trust` none is asked for.
  initdb --username="$user" --pwfile=<(printf '%s\n' "${password:-unused}") "${more[@]}"
  # No server is needed for it, so that nobody takes a server that is about to stop again for one that is ready.
  [[ $database == postgres ]] || postgres --single -D "$PGDATA" postgres <<<"CREATE DATABASE \"${database//\"/\"\"}\"" >/dev/null
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  printf "\nlisten_addresses = '*'\n" >>"$PGDATA/postgresql.conf"
fi
exec "$@"
