"""Why the API server did not do what it was asked: the only exceptions that leave this package."""


class ApiError(Exception):
    """A request that was not granted; the text names the request, and what the server said.

    `status` is the HTTP status, 0 if there was no answer.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ApiUnavailable(ApiError):
    """No answer, or one that says to come back later: unreachable, overloaded, 5xx.

    `retry_after` is the server's wish in seconds, None if it did not say.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class ApiConflict(ApiError):
    """Somebody else was first: it exists already, has changed since, or a field has an owner."""


class ApiNotFound(ApiError):
    """No such object, or no such kind."""


class ApiExpired(ApiError):
    """The resource version is of no use any more (410, or an event was lost): list again."""


class ApiRefused(ApiError):
    """The server will not do it, today or tomorrow: not valid, or not allowed."""


def error_for(status: int, message: str, *, retry_after: float | None = None) -> ApiError:
    """The exception that an HTTP status stands for."""
    match status:
        case 404:
            return ApiNotFound(message, status=status)
        case 409:
            return ApiConflict(message, status=status)
        case 410:
            return ApiExpired(message, status=status)
        case 429:
            return ApiUnavailable(message, status=status, retry_after=retry_after)
        case _ if status >= 500:
            return ApiUnavailable(message, status=status, retry_after=retry_after)
        case _:
            return ApiRefused(message, status=status)
