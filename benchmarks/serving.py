"""How long the champion of the small task takes for a picture, over HTTP, one at a time.

    python benchmarks/serving.py [ANSWERS] [--json PATH]

Compared with the same picture and the same champion asked in this process, without HTTP.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from own_home import own_home
from told import tell

from backbench.runs.registry import Registry
from backbench.runs.serving import Predictor
from served_champion import as_text, ask, crown, served_champion

WARM_UP = 5


def measure(answers: int) -> dict[str, float]:
    """Median and 95th percentile of answers in milliseconds, after 5 that do not count."""
    with own_home() as folder:
        picture = crown(folder)
        champion = Registry().current("small")
        assert champion is not None
        predictor = Predictor(Registry().download(champion), paths=True)
        direct = _took(lambda: predictor.probabilities([str(picture)]), answers)
        with served_champion(folder) as url:
            question = {"dataframe_records": [{"image": as_text(picture)}]}
            served = _took(lambda: _answer(url, question), answers)
    return {
        "serving_median_ms": statistics.median(served),
        "serving_p95_ms": statistics.quantiles(served, n=20)[-1],
        "direct_median_ms": statistics.median(direct),
        "direct_p95_ms": statistics.quantiles(direct, n=20)[-1],
        "serving_over_direct": statistics.median(served) / statistics.median(direct),
    }


def _took(act: Callable[[], object], counted: int) -> list[float]:
    """Milliseconds of each call that counts."""
    took = []
    for _ in range(WARM_UP + counted):
        start = time.perf_counter()
        act()
        took.append((time.perf_counter() - start) * 1000)
    return took[WARM_UP:]


def _answer(url: str, question: object) -> None:
    status, answer = ask(url, question)
    if status != 200:
        raise SystemExit(str(answer))


if __name__ == "__main__":
    tell(measure, __doc__, 100)
