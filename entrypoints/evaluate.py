"""Entry point `evaluate` of MLproject."""

import sys

from backbench.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
