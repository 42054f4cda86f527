"""How long the champion of the small task takes for a picture, over HTTP, one at a time.

    python benchmarks/serving.py [--json PATH]

Compared with the same picture and the same champion asked in this process, without HTTP.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from backbench.runs.registry import Registry
from backbench.runs.serving import Predictor
from served_champion import as_text, ask, crown, served_champion

WARM_UP, COUNTED = 5, 100


def measure() -> dict[str, float]:
    """Median and 95th percentile of 100 answers in milliseconds, after 5 that do not count."""
    before, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["BACKBENCH_HOME"] = f"{folder}/home"
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        try:
            picture = crown(Path(folder))
            predictor = Predictor(Registry().download(Registry().current("small")), paths=True)
            direct = _took(lambda: predictor.probabilities([str(picture)]))
            with served_champion(Path(folder)) as url:
                question = {"dataframe_records": [{"image": as_text(picture)}]}
                served = _took(lambda: _answer(url, question))
        finally:
            os.chdir(before)
            os.environ.clear()
            os.environ.update(environment)
    return {
        "serving_median_ms": statistics.median(served),
        "serving_p95_ms": statistics.quantiles(served, n=20)[-1],
        "direct_median_ms": statistics.median(direct),
        "direct_p95_ms": statistics.quantiles(direct, n=20)[-1],
        "serving_over_direct": statistics.median(served) / statistics.median(direct),
    }


def _took(act: Callable[[], object]) -> list[float]:
    """Milliseconds of each call that counts."""
    took = []
    for _ in range(WARM_UP + COUNTED):
        start = time.perf_counter()
        act()
        took.append((time.perf_counter() - start) * 1000)
    return took[WARM_UP:]


def _answer(url: str, question: object) -> None:
    status, answer = ask(url, question)
    if status != 200:
        raise SystemExit(str(answer))


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
