"""The lab's own errors: a sentence for the person at the terminal, never a traceback."""


class LabError(Exception):
    """Something the lab cannot do; the message names the object and what to do about it."""


class LabTimeout(LabError):  # noqa: N818 (the style's own way to name errors)
    """A condition did not become true before its deadline."""
