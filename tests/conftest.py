"""What all tests share: how a refusal is looked at, and no deadline for generated examples on a busy machine."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

# Of the processor, not of a clock on the wall: other work on the machine does not count.
MAX_SECONDS = 1.0
MAX_LETTERS = 1000

settings.register_profile("tallybert", deadline=None)
settings.load_profile("tallybert")


@pytest.fixture
def refused() -> Callable[..., str]:
    """Return a function that calls another one, which must raise one kind of error: short, one line, at once."""

    def refusal(kind: type[Exception], function: Callable[..., Any], *arguments: Any) -> str:
        start = time.process_time()
        with pytest.raises(kind) as caught:
            function(*arguments)
        assert time.process_time() - start < MAX_SECONDS
        assert type(caught.value) is kind
        message = str(caught.value)
        assert message.isprintable(), message
        assert 0 < len(message) < MAX_LETTERS
        return message

    return refusal
