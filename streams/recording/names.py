"""Names as small whole numbers, in the order in which they were first told."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Names:
    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def numbers(self, names: Iterable[str]) -> NDArray[np.int64]:
        return np.fromiter(map(self.number, names), np.int64)
