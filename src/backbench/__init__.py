"""Backbench: which vision backbone, and which checkpoint of it, is best on my data?

The packages are the stages of the flow, and a stage imports only from stages to its left::

    errors < files < tasks < samples | backbones < features < folds < heads | metrics
           < runs < leaderboard < pipeline < cli
"""

__version__ = "0.1.0"
