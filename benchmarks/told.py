"""The command line of benchmarks that take how many: print the figures, write them where asked."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path


def tell(measure: Callable[[int], dict[str, float]], about: str | None, many: int) -> None:
    """Measure as many as asked for, by default `many`."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("many", type=int, nargs="?", default=many)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    target = arguments.json.resolve() if arguments.json else None
    found = measure(arguments.many)
    for name, value in found.items():
        print(f"{name:36} {value:10.3f}")
    if target:
        target.write_text(json.dumps(found, indent=2) + "\n")
