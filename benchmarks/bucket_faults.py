"""Objects through a bucket of which one request in five fails: are the bytes the same in the end?

    python benchmarks/bucket_faults.py [OBJECTS] [--json PATH]

500, 503, resets before and after the work, truncated bodies and stalls, by a seeded proxy before a
real S3 server (`weed`).
"""

import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from own_home import own_home
from told import tell

import servers
from backbench.files import bucket
from fault_proxy import fault_proxy

SIZES = [0, 1, 700, 100_000, 1 << 20, (8 << 20) + 3, 33 << 20]


def measure(objects: int) -> dict[str, float]:
    """Put and fetch: the faults, the seconds and how many came back different."""
    with (
        own_home() as folder,
        servers.weed(folder / "weed") as store,
        fault_proxy(store.url, share=0.2, seed=7) as proxy,
    ):
        os.environ |= store.env
        os.environ |= {"AWS_ENDPOINT_URL_S3": proxy.url, "BACKBENCH_S3_READ_SECONDS": "2"}
        start, wrong = time.perf_counter(), 0
        for number in range(objects):
            content = random.Random(number).randbytes(SIZES[number % len(SIZES)])
            (folder / "source").write_bytes(content)
            bucket.put(folder / "source", f"s3://mlflow/{number}")
            wrong += bucket.fetch(f"s3://mlflow/{number}").read_bytes() != content
        seconds = time.perf_counter() - start
    requests = {
        f"bucket_requests_{what.replace(' ', '_')}": float(count)
        for what, count in proxy.seen.items()
    }
    return {
        "bucket_objects": objects,
        "bucket_objects_different": wrong,
        "bucket_seconds": seconds,
        "bucket_requests": sum(requests.values()),
        **requests,
    }


if __name__ == "__main__":
    tell(measure, __doc__, 105)
