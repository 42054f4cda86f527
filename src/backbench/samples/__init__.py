"""What is judged: labelled pictures with ids, groups and splits, checked at the door."""

from backbench.samples.load import load_samples
from backbench.samples.samples import Samples
from backbench.samples.series import ABSENT, Channel, Series
from backbench.samples.source import ArraySource, FileSource, NoFiles, Source, decode

__all__ = [
    "ABSENT",
    "ArraySource",
    "Channel",
    "FileSource",
    "NoFiles",
    "Samples",
    "Series",
    "Source",
    "decode",
    "load_samples",
]
