"""A network's large blocks are not handed back and forth between process and system."""

import ctypes
import json
import subprocess
import sys

import pytest

from backbench.features import heap

IN_A_PROCESS_OF_ITS_OWN = """
import json, resource
import torch
from backbench.features import heap

BLOCK = 100 << 20

def cleared(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.empty(BLOCK, dtype=torch.uint8).fill_(1)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return faults * resource.getpagesize() / BLOCK

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / BLOCK

told = {"usual": cleared(10), "at first": held()}
with heap.kept():
    told["first"], told["others"] = cleared(1), cleared(10)
    told["kept"] = held()
heap.give_back()
told["given back"] = held()
print(json.dumps(told))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not on glibc")
def test_a_freed_block_is_used_again_until_it_is_given_back():
    """Page faults and memory held, in blocks of 100 MiB."""
    command = [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert told["others"] < told["usual"] / 10
    assert told["kept"] > told["at first"] + 0.9
    assert told["given back"] < told["at first"] + 0.1


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: object())
    heap._glibc.cache_clear()
    try:
        with heap.kept():
            assert heap._glibc() is None
        heap.give_back()
    finally:
        heap._glibc.cache_clear()
