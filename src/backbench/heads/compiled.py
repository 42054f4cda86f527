"""Kernels for what no library has in one piece, compiled at their first call and kept."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from backbench.files.home import compiled_folder

numba.config.CACHE_DIR = numba.config.CACHE_DIR or str(compiled_folder())

Floats = NDArray[np.float32]


def compiled(function: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Machine code for loops over float32 arrays.

    Sums are taken in any order, which vector units need; divisions and roots stay exact.
    """
    allowed = {"reassoc", "contract", "nsz"}
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=allowed)(function)
