"""What values of some seeds say: mean, deviation, and the interval of Student's t that holds the mean with 95 %."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

CONFIDENCE = 0.95


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, sample deviation and interval of some values; of a single one there is only the mean."""
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return {"mean": mean, "deviation": None, "interval": None, "values": list(values)}
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    reach = student(count - 1) * deviation / math.sqrt(count)
    return {"mean": mean, "deviation": deviation, "interval": [mean - reach, mean + reach], "values": list(values)}


def paired(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Return the summary of first - second, seed by seed, and how many seeds have the sign that the mean has."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    found = summary(differences)
    agree = sum(difference * found["mean"] > 0 for difference in differences)
    return found | {"agree": agree, "seeds": len(differences)}


def student(freedom: int) -> float:
    """Return how many standard errors the interval reaches to each side."""
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))
