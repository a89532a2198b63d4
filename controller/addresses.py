"""Addresses from text and to text, remembered: every pass meets the same ones. Pure."""

from functools import lru_cache
from ipaddress import ip_address

from outgate.api.view import IPAddress

REMEMBERED = 1 << 17  # 16384 addresses of a few gateways and both families


@lru_cache(maxsize=REMEMBERED)
def parse(text: str) -> IPAddress | None:
    """The address, None if the text is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=REMEMBERED)
def text_of(address: IPAddress) -> str:
    """The address as it stands in every object: the canonical form."""
    return str(address)
