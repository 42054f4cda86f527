"""Entry point `train_fold` of MLproject."""

import sys

from backbench.cli import main

if __name__ == "__main__":
    main(["train-fold", *sys.argv[1:]])
