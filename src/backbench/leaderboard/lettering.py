"""Letters in pictures: of every script that a font is installed for, and as they are."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_USUAL = "DejaVu Sans"
_WIDE = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Source Han Sans",
    "IPAexGothic", "IPAGothic", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic",
    "Arial Unicode MS", "Unifont",
)  # fmt: skip
"""Families with the scripts of East Asia, which the usual one lacks; the first ones come first."""


@contextmanager
def any_script() -> Iterator[None]:
    """Draw with all fonts that may be needed; a letter that no font has is a box, in silence."""
    from matplotlib import rc_context
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    families = [_USUAL, *(name for name in _WIDE if name in installed)]
    with rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


def plain(text: str) -> str:
    """A dollar sign would start a formula."""
    return text.replace("$", r"\$")
