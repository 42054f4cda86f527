"""Options in, one call, one line out on errors; click is imported here and nowhere else."""

from backbench.cli.program import backbench, main

__all__ = ["backbench", "main"]
