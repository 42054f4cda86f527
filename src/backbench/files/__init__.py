"""Where bytes live: atomic writes, the home folder, S3-compatible buckets."""
