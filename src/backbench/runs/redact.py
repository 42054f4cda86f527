"""Credentials never reach a record, a message or a server."""

import os
import re

_IN_URI = re.compile(r"(?<=://)[^/\s@'\"]+@")
_SECRET_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIAL", re.IGNORECASE
)
_SHORTEST = 8
"""Shorter values would also strike out ordinary words."""


def redacted(text: str) -> str:
    """`text` without `user:password@` in its URIs and without values of secret variables.

    A variable is secret by its name: anything with SECRET, PASSWORD, TOKEN, API_KEY, ACCESS_KEY
    or CREDENTIAL in it, and a value of at least 8 characters.
    """
    text = _IN_URI.sub("***@", text)
    for secret in _secrets():
        text = text.replace(secret, "***")
    return text


def _secrets() -> list[str]:
    found = {v for k, v in os.environ.items() if _SECRET_NAME.search(k) and len(v) >= _SHORTEST}
    return sorted((v for v in found if not os.path.exists(v)), key=len, reverse=True)  # noqa: PTH110
