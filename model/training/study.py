"""A study: the same recipe in some variants, each over the same seeds, so that a difference can be told from luck.

A variant is what it changes of the base: `shape.two_sets: false`, `chain.w1a1.epochs: 6` for the step of that name, or
sections with keys. Sections are merged key by key; every other value, a chain for example, is given whole.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.checks import NetworkError, refuse, require, require_choice, require_integer
from model.training.checks import MAX_SEED, known_keys, require_new_name
from model.training.recipe import Recipe

KEYS = ("name", "base", "seeds", "stop", "variants", "compare")
MERGED = ("data", "teacher", "shape", "ensemble")
CHAIN = "chain"
OWN = ("name", "seed")
MAX_SEEDS, MAX_VARIANTS = 100, 32
Data = dict[str, Any]


class VariantError(NetworkError):
    """A variant that is no recipe; `variant` says which, and `parts` where in the recipe, a step by name and place."""

    def __init__(self, variant: str, message: str, parts: Sequence[tuple[str, ...]]) -> None:
        super().__init__(f"variants.{variant}: {message}")
        self.variant = variant
        self.parts = tuple(parts)


@dataclass(frozen=True)
class Study:
    """Variants of a recipe as plain data, the seeds that each is trained with, and the pairs to compare."""

    name: str
    seeds: tuple[int, ...]
    variants: Mapping[str, Data]
    compare: tuple[tuple[str, str], ...]

    @classmethod
    def from_dict(cls, data: Any, base: Mapping[str, Any]) -> Study:
        """Return the study of plain data and the recipe, also plain data, that its variants change."""
        values = known_keys("", data, KEYS)
        for key in ("name", "seeds", "variants"):
            if key not in values:
                refuse(key, "given", "left out")
        name = require_new_name("name", values["name"], ())
        start = {**copy.deepcopy(dict(base)), **({"stop": values["stop"]} if "stop" in values else {})}
        given = values["variants"]
        legal = isinstance(given, Mapping) and 0 < len(given) <= MAX_VARIANTS
        require(legal, "variants", f"a mapping of 1 to {MAX_VARIANTS} names and their changes", given)
        variants: dict[str, Data] = {}
        for variant, changes in given.items():
            require_new_name(f"variants.{variant}", variant, variants)
            variants[variant] = _variant(variant, changes, start) | {"name": f"{name}-{variant}"}
        return cls(name, read_seeds(values["seeds"]), variants, _pairs(values.get("compare"), variants))

    def to_dict(self) -> Data:
        """Return plain data: what is recorded of a study."""
        variants = {variant: self.recipe(variant, 0).to_dict() for variant in self.variants}
        compare = [list(pair) for pair in self.compare]
        return {"name": self.name, "seeds": list(self.seeds), "variants": variants, "compare": compare}

    def recipe(self, variant: str, seed: int) -> Recipe:
        """Return the recipe of one run."""
        return Recipe.from_dict(self.variants[variant] | {"seed": seed})

    def runs(self) -> Iterator[tuple[str, int]]:
        """Yield variant and seed of each run, all variants of a seed before the next seed."""
        yield from ((variant, seed) for seed in self.seeds for variant in self.variants)

    def with_seeds(self, count: int) -> Study:
        """Return this study with so many seeds: its first ones, and the numbers after its largest one."""
        more = range(max(self.seeds) + 1, max(self.seeds) + 1 + count)
        seeds = (*self.seeds, *more)[:count]
        fix = "; give the study a list of that many"
        require(max(seeds) <= MAX_SEED, "seeds", f"integers from 0 to {MAX_SEED}", max(seeds), fix)
        return dataclasses.replace(self, seeds=seeds)


def read_seeds(value: Any) -> tuple[int, ...]:
    """Return seeds: those of a list, or so many, from 1 on."""
    if isinstance(value, int) and not isinstance(value, bool):
        return tuple(range(1, require_integer("seeds", value, 1, MAX_SEEDS) + 1))
    legal = isinstance(value, (list, tuple)) and 0 < len(value) <= MAX_SEEDS
    require(legal, "seeds", f"how many, or a list of 1 to {MAX_SEEDS} of them", value)
    seeds = tuple(require_integer(f"seeds[{place}]", seed, 0, MAX_SEED) for place, seed in enumerate(value))
    require(len(set(seeds)) == len(seeds), "seeds", "different numbers", list(seeds))
    return seeds


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Data:
    """Return a recipe, as plain data, with changes."""
    data = copy.deepcopy(dict(base))
    for key, value in changes.items():
        for path, leaf in _leaves(_path(key), value):
            _put(data, path, copy.deepcopy(leaf))
    return data


def _variant(name: str, changes: Any, base: Mapping[str, Any]) -> Data:
    """Return the recipe of a variant as plain data; teacher and pool are the study's, whatever the seed of a run."""
    legal = changes is None or isinstance(changes, Mapping)
    require(legal, f"variants.{name}", "a mapping of what it changes, such as shape.two_sets: false", changes)
    data: Data = {}
    try:
        for key in OWN:
            require(
                key not in (changes or {}), key, "left out of a variant: the study has it", (changes or {}).get(key)
            )
        data = changed(base, changes or {})
        own = data.get("seed", 0)
        for section in ("data", "teacher"):
            if isinstance(data.get(section), dict) and data[section].get("seed") is None:
                data[section]["seed"] = own
        Recipe.from_dict({"name": name} | data)
    except NetworkError as error:
        raise VariantError(name, str(error), _parts(str(error).partition(": ")[0], data)) from None
    return data


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the values of a change with their paths; sections, and steps of the chain by name, are gone into."""
    inside = (path[0] in MERGED and len(path) == 1) or (path[0] == CHAIN and len(path) < 3)
    if inside and isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves((*path, *_path(key)), inner)
    else:
        yield path, value


def _path(key: Any) -> tuple[str, ...]:
    require(isinstance(key, str), "changes", "under names such as shape.two_sets", key)
    return tuple(key.split("."))


def _put(data: Data, path: tuple[str, ...], value: Any) -> None:
    node = data
    if path[0] == CHAIN and len(path) > 1:
        steps = data.get(CHAIN)
        named = {step.get("name"): step for step in steps if isinstance(step, dict)} if isinstance(steps, list) else {}
        node = named[require_choice(f"{CHAIN}.{path[1]}", path[1], [str(name) for name in named])]
        path = path[2:]
        require(bool(path), CHAIN, "a list of steps, or steps with what changes in them", value)
    for key in path[:-1]:
        if not isinstance(node.get(key), dict):
            node[key] = {}
        node = node[key]
    node[path[-1]] = value


def _parts(field: str, data: Data) -> list[tuple[str, ...]]:
    """Return the parts of a field such as chain[1].rate, each with the names that a change may have for it."""
    parts: list[tuple[str, ...]] = []
    for text in field.split("."):
        name, _, index = text.removesuffix("]").partition("[")
        parts.append((name,))
        if index:
            steps = data.get(CHAIN)
            step = steps[int(index)] if name == CHAIN and isinstance(steps, list) and int(index) < len(steps) else None
            parts.append((index, str(step.get("name"))) if isinstance(step, dict) else (index,))
    return parts


def _pairs(value: Any, variants: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    given = value if value is not None else []
    require(isinstance(given, (list, tuple)), "compare", "a list of pairs of variants", given)
    for place, pair in enumerate(given):
        where = f"compare[{place}]"
        require(isinstance(pair, (list, tuple)) and len(pair) == 2, where, "two variants, as in [new, old]", pair)
        for side, name in enumerate(pair):
            require_choice(f"{where}[{side}]", name, list(variants))
        require(pair[0] != pair[1], where, "two different variants", list(pair))
    return tuple((pair[0], pair[1]) for pair in given)
