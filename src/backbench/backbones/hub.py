"""Files of the Hugging Face hub: from the local cache, else downloaded, else one clear error.

The cache is looked at first and the network only when a file is not there, so a warm machine never
waits for it. A dead network is noticed by one short probe instead of the hub client's retries.
"""

import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from backbench.errors import BackboneError, WeightsMissingError
from backbench.files.switches import is_offline, is_on

_PUBLIC = "https://huggingface.co"
_PROBE_SECONDS = 5.0


def cache_folder() -> Path:
    """Where the hub's files are kept: `HF_HUB_CACHE`, else `$HF_HOME/hub`, else its default.

    Read from the environment at every call: the hub client reads it only once, on import.
    """
    if given := os.environ.get("HF_HUB_CACHE"):
        return Path(given).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "huggingface" / "hub"


def offline() -> bool:
    """True where the user forbade the network: one of the variables below is set."""
    return is_offline() or is_on("HF_HUB_OFFLINE") or is_on("TRANSFORMERS_OFFLINE")


@dataclass
class Repository:
    """One hub repository at one revision, as wanted by one backbone.

    Attributes:
        repo: `<organisation>/<name>`.
        revision: a commit, tag or branch; None is `main`.
        backbone: the name to give in errors and in `backbench prefetch`.
        used: every file handed out.
    """

    repo: str
    revision: str | None
    backbone: str
    used: list[Path] = field(default_factory=list)

    def file(self, *names: str) -> Path:
        """The first of `names` that the repository has, as a local path.

        Raises:
            WeightsMissingError: none is here, and none can be fetched.
            BackboneError: the repository, its revision or the file does not exist, or is gated; or
                `HF_ENDPOINT` is no address.
        """
        path = self.cached(names) or self._download(names)
        self.used.append(path)
        return path

    def cached(self, names: Iterable[str]) -> Path | None:
        """The first of `names` that is in the local cache."""
        from huggingface_hub import try_to_load_from_cache

        for name in names:
            found = try_to_load_from_cache(
                self.repo, name, cache_dir=cache_folder(), revision=self.revision or "main"
            )
            if isinstance(found, str):
                return Path(found)
        return None

    @property
    def commit(self) -> str | None:
        """The commit of the files handed out: the name of their snapshot folder."""
        for path in self.used:
            for parent in path.parents:
                if parent.parent.name == "snapshots":
                    return parent.name
        return None

    def evidence(self) -> list[Path]:
        """The files whose change means another model, the moving ref included."""
        ref = cache_folder() / _folder(self.repo) / "refs" / (self.revision or "main")
        return [*self.used, *([ref] if ref.is_file() else [])]

    def _download(self, names: tuple[str, ...]) -> Path:
        if offline():
            raise self._missing(names, "HF_HUB_OFFLINE or BACKBENCH_OFFLINE forbids the network")
        endpoint = _endpoint()
        if reason := unreachable(endpoint):
            raise self._missing(names, f"{endpoint} cannot be reached ({reason})")
        from huggingface_hub import errors, hf_hub_download

        for name in names:
            try:
                return Path(
                    hf_hub_download(
                        self.repo,
                        name,
                        revision=self.revision,
                        cache_dir=cache_folder(),
                        endpoint=endpoint,
                    )
                )
            except errors.LocalEntryNotFoundError as error:
                raise self._missing(names, "the hub did not answer") from error
            except errors.EntryNotFoundError:
                continue
            except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
                raise self._refused(error) from error
        raise BackboneError(
            f"the hub repository {self.repo} has none of {', '.join(names)} at revision "
            f"{self.revision or 'main'}. Check the model id of backbone '{self.backbone}'."
        )

    def _missing(self, names: tuple[str, ...], reason: str) -> WeightsMissingError:
        is_weights = not any(name.endswith(".json") for name in names)
        other_way = "; or give a local file with checkpoint=" if is_weights else ""
        return WeightsMissingError(
            f"backbone '{self.backbone}' needs {' or '.join(names)} of {self.repo} at revision "
            f"{self.revision or 'main'}, which is not in {cache_folder()}, and {reason}. "
            f"Run `backbench prefetch --backbone {self.backbone}` where there is internet and the "
            f"same HF_HOME, or copy that HF_HOME here{other_way}."
        )

    def _refused(self, error: Exception) -> BackboneError:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return BackboneError(
            f"the hub refuses {self.repo} at revision {self.revision or 'main'} for backbone "
            f"'{self.backbone}': {reason} Check the id; a gated model needs its licence accepted "
            "on its page and a token in HF_TOKEN."
        )


def unreachable(url: str) -> str:
    """Why `url` does not answer within five seconds; empty where it does, with any status."""
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - checked in _endpoint
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):  # noqa: S310
            return ""
    except urllib.error.HTTPError:
        return ""
    except urllib.error.URLError as error:
        # A certificate this probe does not know still means that somebody answered.
        return "" if isinstance(error.reason, ssl.SSLError) else str(error.reason)
    except (OSError, ValueError, HTTPException) as error:  # the last two: it is no address
        return str(error)


def _endpoint() -> str:
    """Of the hub: `HF_ENDPOINT`, else the public one."""
    given = os.environ.get("HF_ENDPOINT") or _PUBLIC
    if not given.startswith(("http://", "https://")):
        raise BackboneError(f"HF_ENDPOINT is '{given}', but has to begin with https:// or http://.")
    return given


def _folder(repo: str) -> str:
    return "models--" + repo.replace("/", "--")
