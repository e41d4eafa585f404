"""The data of a recipe: which set, how its sentences become ids, and what the pool is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from model.checks import refuse, require, require_choice, require_integer
from model.data.pool import POOL
from model.data.userfile import Columns
from model.training.checks import known_keys, require_seed, require_text

LEARNED, TEACHERS = "learned", "teacher"
POOL_KEYS = ("replace", "jumble", "splice", "spans", "unlabelled")
POOL_SOURCES = tuple(source.name for source in POOL)


@dataclass(frozen=True)
class DataRecipe:
    """The data set, how sentences become ids, and the pool: sentences for the teacher to label."""

    set: str
    columns: Columns | None = None
    limit: int = 48
    vocabulary: int = 8000
    pieces: str = LEARNED
    examples: int = 0
    replace: int = 0
    jumble: int = 0
    splice: int = 0
    spans: int = 0
    unlabelled: int = 0
    sources: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        require_text("data.set", self.set)
        legal = isinstance(self.sources, (list, tuple)) and all(source in POOL_SOURCES for source in self.sources)
        require(legal, "data.sources", f"a list of {', '.join(POOL_SOURCES)}", self.sources)
        object.__setattr__(self, "sources", tuple(self.sources))
        require_integer("data.limit", self.limit, 4, 512)
        require_integer("data.vocabulary", self.vocabulary, 64, 65536)
        require_choice("data.pieces", self.pieces, (LEARNED, TEACHERS))
        require_integer("data.replace", self.replace, 0, 100)
        require_integer("data.jumble", self.jumble, 0, 100)
        for name in ("splice", "spans", "unlabelled", "examples"):
            require_integer(f"data.{name}", getattr(self, name), 0, 10_000_000)
        require_seed("data.seed", self.seed)

    @property
    def pool_key(self) -> str | None:
        """The first key that asks for a pool, if one does."""
        return next((key for key in POOL_KEYS if getattr(self, key)), None)


def read_data_recipe(data: Any) -> DataRecipe:
    """Return the data of plain data; every unknown key and wrong value is one line that names it."""
    values = known_keys("data", data, [item.name for item in fields(DataRecipe)])
    if "set" not in values:
        refuse("data.set", "given: the name of a data set, or a file", "left out")
    if values.get("columns") is not None:
        columns = known_keys("data.columns", values["columns"], [item.name for item in fields(Columns)])
        values["columns"] = _columns(columns)
    return DataRecipe(**values)


def _columns(values: dict[str, Any]) -> Columns:
    for key in ("text", "pair", "label", "group"):
        if key in values:
            require_text(f"data.columns.{key}", values[key])
    labels, scores = values.get("labels") or [], values.get("score_range")
    legal = isinstance(labels, (list, tuple)) and all(isinstance(label, str) for label in labels)
    require(legal, "data.columns.labels", "a list of texts", labels)
    if scores is not None:
        legal = isinstance(scores, (list, tuple)) and len(scores) == 2 and all(type(x) in (int, float) for x in scores)
        require(legal and scores[0] < scores[1], "data.columns.score_range", "the lowest and highest score", scores)
        values["score_range"] = (float(scores[0]), float(scores[1]))
    return Columns(**values | {"labels": tuple(labels)})


def data_entry(recipe: DataRecipe) -> dict[str, Any]:
    """Return the data as they stand in a recipe."""
    entry, columns = asdict(recipe) | {"sources": recipe.sources}, recipe.columns
    if columns is not None:
        scores = columns.score_range and list(columns.score_range)
        entry["columns"] = asdict(columns) | {"labels": list(columns.labels), "score_range": scores}
    return entry
