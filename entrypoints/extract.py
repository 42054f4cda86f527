"""Entry point `extract` of MLproject."""

import sys

from backbench.cli import main

if __name__ == "__main__":
    main(["extract", *sys.argv[1:]])
