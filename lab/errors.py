"""The lab's own errors: a sentence for the person at the terminal, never a traceback."""


class LabError(Exception):
    """Something the lab cannot do; the message names the object and what to do about it."""


class LabTimeout(LabError):
    """A condition did not become true before its deadline."""
