"""What all tests share: how a refusal is looked at, and no deadline for generated examples on a busy machine."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

MAX_LETTERS = 1000

settings.register_profile("tallybert", deadline=None)
settings.load_profile("tallybert")


@pytest.fixture
def refused() -> Callable[..., str]:
    """Return a function that calls another one, which must raise one kind of error: short, on one line."""

    def refusal(kind: type[Exception], function: Callable[..., Any], *arguments: Any) -> str:
        with pytest.raises(kind) as caught:
            function(*arguments)
        assert type(caught.value) is kind
        message = str(caught.value)
        assert message.isprintable(), message
        assert 0 < len(message) < MAX_LETTERS
        return message

    return refusal
