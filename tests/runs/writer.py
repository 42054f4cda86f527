"""A process that records runs until it is killed: `python writer.py COUNT NAME`."""

import os
import sys

from backbench.runs import recording, tags

for number in range(int(sys.argv[1])):
    with recording(
        experiment="digits", name=f"{sys.argv[2]} {number}", tags={tags.STAGE: "train_fold"}
    ) as run:
        for fold in range(44):
            run.log_metric("accuracy", fold / 44, step=fold)
        for part in range(5):
            run.artifact(f"parts/{part}.bin").write_bytes(os.urandom(20_000))
