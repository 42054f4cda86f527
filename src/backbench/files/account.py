"""Whose account this process runs under."""

import getpass
import os


def user_name() -> str:
    """As the environment or the system calls it; its number where neither knows a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        return str(os.getuid())
