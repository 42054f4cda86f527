"""The tracking service of a lab: set up, run without Docker, backed up and restored.

`init` writes the secrets, `up` runs PostgreSQL, the object store and MLflow on this machine,
`backup` and `restore` move everything a service holds.
"""

from backbench.pipeline.service_backup import Report, backup, restore, verify
from backbench.pipeline.service_settings import Settings, init, read
from backbench.pipeline.service_stack import up

__all__ = ["Report", "Settings", "backup", "init", "read", "restore", "up", "verify"]
