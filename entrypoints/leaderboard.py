"""Entry point `leaderboard` of MLproject."""

import sys

from backbench.cli import main

if __name__ == "__main__":
    main(["leaderboard", *sys.argv[1:]])
