#!/bin/sh
# Start MLflow: artifacts proxied, access control on. The port opens when the database and the
# bucket work; the administrator has the generated password from the first moment.
set -eu
: "${SERVICE_ADMIN_PASSWORD:?run backbench service init}"
: "${SERVICE_ADMIN_USERNAME:?run backbench service init}"
: "${SERVICE_ALLOWED_HOSTS:?run backbench service init}"
: "${SERVICE_ALLOWED_ORIGINS:?run backbench service init}"
: "${SERVICE_DATABASE_HOST:?where the database is}"
: "${SERVICE_DATABASE_PASSWORD:?run backbench service init}"
: "${SERVICE_DATABASE_PORT:?run backbench service init}"
: "${SERVICE_SESSION_SECRET:?run backbench service init}"
: "${SERVICE_STORE_ACCESS_KEY:?run backbench service init}"
: "${SERVICE_STORE_BUCKET:?run backbench service init}"
: "${SERVICE_STORE_REGION:?run backbench service init}"
: "${SERVICE_STORE_SECRET_KEY:?run backbench service init}"
: "${SERVICE_STORE_URL:?run backbench service init}"
: "${SERVICE_TRACKING_LISTEN:?the address to listen on}"
: "${SERVICE_TRACKING_PORT:?run backbench service init}"
: "${SERVICE_TRACKING_WORKERS:?run backbench service init}"

here=$(cd "$(dirname "$0")" && pwd)
server=postgresql://mlflow@$SERVICE_DATABASE_HOST:$SERVICE_DATABASE_PORT
export PGPASSWORD="$SERVICE_DATABASE_PASSWORD" # libpq reads it: no address carries the password

export AWS_ACCESS_KEY_ID="$SERVICE_STORE_ACCESS_KEY"
export AWS_SECRET_ACCESS_KEY="$SERVICE_STORE_SECRET_KEY"
export AWS_DEFAULT_REGION="$SERVICE_STORE_REGION"
export MLFLOW_S3_ENDPOINT_URL="$SERVICE_STORE_URL"
export MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE=path
# B2 and others answer 400 to the checksum headers that botocore adds by default.
export AWS_REQUEST_CHECKSUM_CALCULATION=when_required
export AWS_RESPONSE_CHECKSUM_VALIDATION=when_required
export MLFLOW_DISABLE_TELEMETRY=true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

# Secrets go through the environment, never through files or arguments, which `ps` shows.
auth=$(mktemp)
cat > "$auth" <<END
[mlflow]
default_permission = READ
database_uri = $server/mlflow_auth
admin_username = $SERVICE_ADMIN_USERNAME
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 30
END
export MLFLOW_AUTH_CONFIG_PATH="$auth"
export MLFLOW_AUTH_ADMIN_PASSWORD="$SERVICE_ADMIN_PASSWORD"
export MLFLOW_FLASK_SERVER_SECRET_KEY="$SERVICE_SESSION_SECRET"
export MLFLOW_BACKEND_STORE_URI="$server/mlflow"

python "$here/wait_for_parts.py"
exec mlflow server --app-name basic-auth --serve-artifacts \
  --artifacts-destination "s3://$SERVICE_STORE_BUCKET" \
  --host "$SERVICE_TRACKING_LISTEN" --port "$SERVICE_TRACKING_PORT" \
  --workers "$SERVICE_TRACKING_WORKERS" \
  --allowed-hosts "$SERVICE_ALLOWED_HOSTS" --cors-allowed-origins "$SERVICE_ALLOWED_ORIGINS"
