"""What a bucket's answer means, in one line for a person, without any secret."""

from difflib import get_close_matches
from typing import Any

from backbench.errors import ObjectError, StorageError
from backbench.files import s3_address
from backbench.files.s3_address import Address

_AGAIN = (
    "RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "Throttling",
    "ThrottlingException", "RequestLimitExceeded", "BandwidthLimitExceeded", "TooManyRequests",
)  # fmt: skip
_KEYS_LOOKED_AT = 1000


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: a 5xx, a throttle, a reset, a stall, a truncated body."""
    from botocore import exceptions as e
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    if isinstance(error, e.ClientError):
        return _status(error) in (408, 429) or _status(error) >= 500 or _code(error) in _AGAIN
    if isinstance(error, e.SSLError):
        return False
    network = e.HTTPClientError | e.ConnectionError | e.IncompleteReadError | HTTPError
    return isinstance(error, network | ResponseParserError | ConnectionError | TimeoutError)


def is_missing(error: BaseException) -> bool:
    """Whether the store says that there is no such thing."""
    from botocore.exceptions import ClientError

    return isinstance(error, ClientError) and _status(error) == 404


def code_of(error: BaseException) -> str:
    """The store's own code of the error (`NoSuchUpload`...), or an empty text."""
    from botocore.exceptions import ClientError

    return _code(error) if isinstance(error, ClientError) else ""


def translate(error: BaseException, at: Address, client: Any) -> StorageError:  # noqa: ANN401 - boto3
    """The StorageError for what boto3 raised about `at`."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    where = s3_address.endpoint_shown()
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageError(
            f"no credentials for {at} at {where}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or a profile with AWS_PROFILE."
        )
    if is_missing(error):
        return _missing(at, where, client)
    if isinstance(error, ClientError):
        return StorageError(_refused(error, at, where))
    if isinstance(error, BotoCoreError) or is_transient(error):
        return StorageError(
            f"cannot get through to {where} for {at} ({type(error).__name__}): check the network "
            f"and {s3_address.ENDPOINT_VARIABLES[0]}, then run again; finished work is kept."
        )
    raise error


def _refused(error: Any, at: Address, where: str) -> str:  # noqa: ANN401 - botocore's ClientError
    status, code = _status(error), _code(error)
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return (
            f"{where} does not accept the credentials for {at} ({code}): "
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if status in (401, 403):
        said = " ".join(dict.fromkeys((str(status), code)))
        return f"these credentials may not use {at} at {where} ({said}): wrong ones, or no grant."
    if status in (301, 307) or "Region" in code or code == "AuthorizationHeaderMalformed":
        return f"{at} is in another region ({status} {code}): set AWS_DEFAULT_REGION."
    if status >= 500 or code in _AGAIN:
        return f"{where} keeps answering {status} {code} for {at}: it is overloaded; run later."
    return f"{where} refuses {at} ({status} {code}): {error.response['Error'].get('Message', '')}"


def _missing(at: Address, where: str, client: Any) -> StorageError:  # noqa: ANN401 - boto3
    """Say which of the two is missing, bucket or key, and name the nearest that exist."""
    from botocore.exceptions import BotoCoreError, ClientError

    folder = at.key.rpartition("/")[0]
    try:
        page = client.list_objects_v2(
            Bucket=at.bucket, Prefix=folder and f"{folder}/", MaxKeys=_KEYS_LOOKED_AT
        )
    except (ClientError, BotoCoreError) as error:
        if code_of(error) != "NoSuchBucket":
            return StorageError(f"there is no {at} at {where}: check bucket and key.")
        near = _near(at.bucket, _buckets(client))
        return StorageError(f"there is no bucket '{at.bucket}' at {where}{near}")
    keys = [item["Key"] for item in page.get("Contents", ())]
    return ObjectError(f"there is no key '{at.key}' in bucket '{at.bucket}'{_near(at.key, keys)}")


def _near(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; nearest: {', '.join(near)}." if near else "; nothing there has a similar name."


def _buckets(client: Any) -> list[str]:  # noqa: ANN401 - boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return [bucket["Name"] for bucket in client.list_buckets().get("Buckets", ())]
    except (ClientError, BotoCoreError):
        return []  # a key that may not list buckets still deserves the rest of the message


def _status(error: Any) -> int:  # noqa: ANN401 - boto3
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Any) -> str:  # noqa: ANN401 - boto3
    return str(error.response.get("Error", {}).get("Code", ""))
