"""Groups of named arrays in one safetensors file; what groups have alike is there once.

An array is stored under `<group>/<name>`. Where a large one has the type, shape and values of one
that is stored already, the file's metadata names that one instead.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.errors import StorageError

_LARGE = 1 << 20
"""Bytes from which on an array is compared; smaller ones are stored with every group."""
_SAME = "same"

Arrays = Mapping[str, NDArray[Any]]


def pack(groups: Mapping[str, Arrays]) -> bytes:
    """The file of groups; names of arrays have no slash.

    Bytes, since safetensors' own `save_file` tells a full disk by an error that is no `OSError`.
    """
    from safetensors.numpy import save

    stored: dict[str, NDArray[Any]] = {}
    same: dict[str, str] = {}
    digests: dict[int, str] = {}
    first: dict[str, str] = {}
    for group, arrays in groups.items():
        for name, array in arrays.items():
            key = original = f"{group}/{name}"
            if array.nbytes >= _LARGE:
                if id(array) not in digests:
                    digests[id(array)] = digest(array)
                original = first.setdefault(digests[id(array)], key)
            if original == key:
                stored[key] = np.asarray(array, order="C")
            else:
                same[key] = original
    packed: bytes = save(stored, metadata={_SAME: json.dumps(same)} if same else None)
    return packed


def unpack(path: Path) -> dict[str, dict[str, NDArray[Any]]]:
    """The groups of a file; what groups have alike is one array.

    Raises:
        StorageError: the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            same = json.loads((file.metadata() or {}).get(_SAME, "{}"))
        found |= {key: found[original] for key, original in same.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, SafetensorError) as error:
        raise StorageError(f"{path} is not a file of arrays, or damaged: {error}.") from error
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in found.items():
        group, _, name = key.rpartition("/")
        groups.setdefault(group, {})[name] = array
    return groups


def digest(*arrays: NDArray[Any]) -> str:
    """SHA-256 over values, types and shapes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array).data if array.size else b"")
    return found.hexdigest()
