"""A watch's HTTP response as events: lines of JSON, until the server, we or the network end it."""

import contextlib
import random
from collections.abc import Iterator

import urllib3

from outgate.kube import wire
from outgate.kube.errors import ApiExpired, ApiUnavailable
from outgate.kube.wire import Malformed, WatchEvent

WATCH_SECONDS = 60
"""After so long the server is asked to end a watch."""

WATCH_SPREAD = 6
"""Added at random: watches that began together must not end together for ever."""

READ_TIMEOUT = 75.0
"""A watch that is silent for so long is dead: the server would have ended it before."""

CHUNK = 1 << 16


def watch_seconds() -> int:
    """How long the next watch may take."""
    return WATCH_SECONDS + random.randint(0, WATCH_SPREAD)


class Stream:
    """A `Watch` over HTTP."""

    def __init__(self, response: urllib3.HTTPResponse, request: str) -> None:
        self._response = response
        self._request = request
        self._closed = False

    def __iter__(self) -> Iterator[WatchEvent]:
        """See `Watch`. A line that is no event raises ApiExpired: something was lost."""
        rest = b""
        try:
            while chunk := self._response.read1(CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield wire.decode_event(line)
        except urllib3.exceptions.HTTPError as error:
            if self._closed:
                return  # by us: what is cut off then is no loss
            raise ApiUnavailable(f"{self._request}: {error}") from error
        except Malformed as error:
            raise ApiExpired(f"{self._request}: not an event: {error}") from error
        finally:
            # Not release_conn(): the rest of an unfinished answer would meet the next request.
            self._response.close()
        if rest and not self._closed:
            raise ApiUnavailable(f"{self._request}: cut off in the middle of an event")

    def close(self) -> None:
        """See `Watch`."""
        self._closed = True
        # It may have ended by itself meanwhile, or be just about to.
        with contextlib.suppress(ValueError, RuntimeError, OSError):
            self._response.shutdown()
