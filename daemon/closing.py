"""What has to be closed, as a context: one mixin instead of the same two methods in each class."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Closes itself where its `with` block ends."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of what it has open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
