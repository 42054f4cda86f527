"""Entry point `main` of MLproject."""

import sys

from backbench.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
