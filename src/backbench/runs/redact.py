"""Credentials never reach a record, a message or a server."""

import os
import re

_IN_URI = re.compile(
    r"(?<=://)(?:[^/\s'\"]+@"
    r"|[^/\s'\":@\[]*:(?!\d*[/?#])(?:(?!://)[^\s'\"])*@)"  # a slash in it, so no port follows
)
_IN_QUERY = re.compile(
    r"((?:[?&;]|\\u0026|%3F|%26|%3B)"
    r"(?:(?:X-(?:Amz|Goog)-)?(?:Signature|Credential|Security-Token)|AWSAccessKeyId|sig)(?:=|%3D))"
    r"(?:(?!\\u0026|%26)[^&\s'\"<>])+",
    re.IGNORECASE,
)
"""What a signed address carries: S3's versions 4 and 2, Google's and Azure's; also where `&` is
escaped as in JSON, or all is percent-encoded."""
_SECRET_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|API_?KEY|ACCESS_?KEY|APPLICATION_?KEY|CREDENTIAL"
    r"|PRIVATE",
    re.IGNORECASE,
)
_SHORTEST = 8
"""Shorter values would also strike out ordinary words."""


def redacted(text: str) -> str:
    """`text` without what its URIs are opened or signed with and values of secret variables.

    A variable is secret by its name: anything with SECRET, PASSWORD, PASSPHRASE, TOKEN, API_KEY,
    ACCESS_KEY, APPLICATION_KEY, CREDENTIAL or PRIVATE in it, and a value of at least 8 characters.
    """
    text = _IN_QUERY.sub(r"\1***", _IN_URI.sub("***@", text))
    for secret in _secrets():
        text = text.replace(secret, "***")
    return text


def _secrets() -> list[str]:
    found = {v for k, v in os.environ.items() if _SECRET_NAME.search(k) and len(v) >= _SHORTEST}
    return sorted((v for v in found if not os.path.exists(v)), key=len, reverse=True)  # noqa: PTH110
