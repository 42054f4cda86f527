#!/bin/sh
# Succeed when the store's parts work together and the bucket is there.
set -eu
: "${SERVICE_STORE_BUCKET:?run backbench service init}"
: "${SERVICE_STORE_PORT:?run backbench service init}"
echo s3.bucket.list |
  timeout 10 weed shell -master="127.0.0.1:$((SERVICE_STORE_PORT + 1))" \
    -filer="127.0.0.1:$((SERVICE_STORE_PORT + 3))" |
  grep -qw "$SERVICE_STORE_BUCKET"
