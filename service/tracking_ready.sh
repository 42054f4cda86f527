#!/bin/sh
# Succeed when the tracking server answers.
set -eu
: "${SERVICE_TRACKING_PORT:?run backbench service init}"
exec python -c "
import sys, urllib.request
urllib.request.urlopen('http://127.0.0.1:' + sys.argv[1] + '/health', timeout=5)
" "$SERVICE_TRACKING_PORT"
