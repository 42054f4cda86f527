#!/bin/sh
# Start PostgreSQL. The first start makes the cluster and both databases, all or nothing: they are
# made beside their place and renamed, so a kill in between leaves an empty volume.
set -eu
: "${SERVICE_DATABASE_PASSWORD:?run backbench service init}"
: "${SERVICE_DATABASE_PORT:?run backbench service init}"
: "${SERVICE_DATABASE_DATA:?the folder of the database}"
: "${SERVICE_DATABASE_LISTEN:?the address to listen on, or *}"

cluster=$SERVICE_DATABASE_DATA/cluster
if [ ! -d "$cluster" ]; then
  new=$SERVICE_DATABASE_DATA/new
  secret=$SERVICE_DATABASE_DATA/.password
  rm -rf "$new"
  umask 077
  printf '%s' "$SERVICE_DATABASE_PASSWORD" > "$secret"
  initdb -D "$new" -U mlflow --auth=scram-sha-256 --pwfile="$secret" -E UTF8 --locale=C.UTF-8
  rm -f "$secret"
  echo 'host all all all scram-sha-256' >> "$new/pg_hba.conf"
  for name in mlflow mlflow_auth; do
    echo "CREATE DATABASE $name" | postgres --single -D "$new" postgres > /dev/null
  done
  mv "$new" "$cluster"
fi

exec postgres -D "$cluster" -p "$SERVICE_DATABASE_PORT" \
  -c listen_addresses="$SERVICE_DATABASE_LISTEN" -c unix_socket_directories=
