"""What is judged: labelled pictures with ids, groups and splits, checked at the door."""

from backbench.samples.load import load_samples
from backbench.samples.samples import Samples
from backbench.samples.source import ArraySource, FileSource, Source, decode

__all__ = ["ArraySource", "FileSource", "Samples", "Source", "decode", "load_samples"]
