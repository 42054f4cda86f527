"""A task of real pictures that takes seconds: 60 digits as PNG files in 20 groups of 3."""

from pathlib import Path

import pandas as pd
from PIL import Image

TASK = """
name = "small"
version = 1
samples = "samples.csv"
seeds = [1, 2]
expect = {{ samples = {count}, classes = 3 }}
[folds]
scheme = "group_k_fold"
n_splits = 4
[head]
kind = "{head}"
[metrics]
primary = "balanced_accuracy"
report = ["accuracy", "balanced_accuracy", "log_loss"]
[variants.half]
folds.n_splits = 3
"""
CLASSES, EACH = 3, 20


def small_task(folder: Path, *, head: str = "ridge") -> Path:
    """Write pictures, manifest and task file; returns the path of the task file."""
    from sklearn.datasets import load_digits

    pictures = folder / "pictures"
    pictures.mkdir()
    data = load_digits()
    chosen = [i for c in range(CLASSES) for i in (data.target == c).nonzero()[0][:EACH]]
    rows = []
    for number, i in enumerate(chosen):
        picture = Image.fromarray((data.images[i] * (255 / 16)).astype("uint8"))
        name = f"p{number:03d}.png"
        picture.save(pictures / name)
        group = f"g{number % EACH:02d}"
        label, path = f"n{data.target[i]}", f"pictures/{name}"
        rows.append({"sample_id": name, "path": path, "label": label, "group": group})
    pd.DataFrame(rows).to_csv(folder / "samples.csv", index=False)
    path = folder / "small.toml"
    path.write_text(TASK.format(head=head, count=len(rows)))
    return path
