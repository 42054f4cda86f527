#!/bin/sh
# Start the S3-compatible object store (SeaweedFS) with its bucket. Only the S3 port is for others;
# the ports of its parts follow it. Nothing but the S3 port asks for credentials: do not publish them.
set -eu
: "${SERVICE_STORE_ACCESS_KEY:?run backbench service init}"
: "${SERVICE_STORE_SECRET_KEY:?run backbench service init}"
: "${SERVICE_STORE_BUCKET:?run backbench service init}"
: "${SERVICE_STORE_PORT:?run backbench service init}"
: "${SERVICE_STORE_DATA:?the folder of the objects}"
: "${SERVICE_STORE_LISTEN:?the address to listen on}"

port=$SERVICE_STORE_PORT
mkdir -p "$SERVICE_STORE_DATA"
export AWS_ACCESS_KEY_ID="$SERVICE_STORE_ACCESS_KEY"
export AWS_SECRET_ACCESS_KEY="$SERVICE_STORE_SECRET_KEY"
exec weed -logtostderr=true mini -dir="$SERVICE_STORE_DATA" \
  -ip=127.0.0.1 -ip.bind="$SERVICE_STORE_LISTEN" \
  -s3.port="$port" -master.port=$((port + 1)) -volume.port=$((port + 2)) \
  -filer.port=$((port + 3)) -admin.port=$((port + 4)) \
  -master.telemetry=false -webdav=false -admin.ui=false -s3.port.iceberg=0 -s3.port.lance=0 \
  -bucket="$SERVICE_STORE_BUCKET" -s3.allowDeleteBucketNotEmpty=false -s3.autoCreateBucket=false
