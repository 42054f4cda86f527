"""How long the champion of the small task takes for a picture, over HTTP, one at a time.

python benchmarks/serving.py [--json PATH]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from served_champion import as_text, ask, crown, served_champion

WARM_UP, COUNTED = 5, 20


def measure() -> dict[str, float]:
    """Median and slowest of 20 answers in milliseconds, after 5 that do not count."""
    before, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["BACKBENCH_HOME"] = f"{folder}/home"
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        try:
            picture = crown(Path(folder))
            with served_champion(Path(folder)) as url:
                question = {"dataframe_records": [{"image": as_text(picture)}]}
                took = [_seconds(url, question) for _ in range(WARM_UP + COUNTED)][WARM_UP:]
        finally:
            os.chdir(before)
            os.environ.clear()
            os.environ.update(environment)
    return {
        "serving_median_ms": statistics.median(took) * 1000,
        "serving_slowest_ms": max(took) * 1000,
    }


def _seconds(url: str, question: object) -> float:
    start = time.perf_counter()
    status, answer = ask(url, question)
    if status != 200:
        raise SystemExit(str(answer))
    return time.perf_counter() - start


def main() -> None:
    """Print the figures; write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    target = arguments.json.resolve() if arguments.json else None
    found = measure()
    for name, value in found.items():
        print(f"{name:36} {value:10.3f}")
    if target:
        target.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
