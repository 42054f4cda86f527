"""Who answers to a signal that every process of a command gets."""

import signal


def leave_to_parent() -> None:
    """Ignore Ctrl-C and a cluster's SIGTERM: they reach workers too, but are the parent's business.

    It ends its workers itself; one that died first would be taken for a failure.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
