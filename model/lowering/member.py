"""A member, from embedded tokens to logits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from model.lowering.attention import lower_attention
from model.lowering.builder import Builder
from model.lowering.embedding import normalise
from model.lowering.ffn import lower_block
from model.lowering.formats import fraction_for
from model.lowering.head import lower_head
from model.lowering.plan import FINEST, BlockPlan, Ranges, plan_block
from model.lowering.report import LogitsEntry
from model.lowering.sources import requantise
from model.member import Member
from model.operations import Add


@dataclass(frozen=True)
class LayerPlan:
    """The formats of a layer: the fraction of its input and of what its attention adds, and those of its blocks."""

    fraction: int
    largest: float
    blocks: tuple[BlockPlan, ...]


@dataclass(frozen=True)
class MemberPlan:
    """The formats of a member: of each layer, and the fraction of what the last one gives."""

    layers: tuple[LayerPlan, ...]
    last: int

    @property
    def fraction(self) -> int:
        """The fraction of the embedding that the member reads."""
        return self.layers[0].fraction

    def starting_at(self, fraction: int) -> MemberPlan:
        """Return the plan for an embedding of another fraction."""
        return replace(self, layers=(replace(self.layers[0], fraction=fraction), *self.layers[1:]))


def plan_member(name: str, member: Member, ranges: Ranges, headroom: float) -> MemberPlan:
    """Return the formats that hold what the calibration sentences reach, with headroom."""
    layers, source = [], "embedding.norm"
    for index, layer in enumerate(member.layers):
        where = f"layers.{index}"
        largest = max(ranges[key] for key in (source, f"{where}.attention", f"{where}.attention_norm.sum"))
        fraction = fraction_for(f"{name}.{where}.attention", headroom * largest, FINEST)
        layers.append(LayerPlan(fraction, largest, _plan_blocks(name, where, layer, ranges, headroom)))
        source = f"{where}.ffn_norms.{len(layers[-1].blocks) - 1}"
    return MemberPlan(tuple(layers), fraction_for(f"{name}.{source}", headroom * ranges[source], FINEST))


def _plan_blocks(name: str, where: str, layer: Any, ranges: Ranges, headroom: float) -> tuple[BlockPlan, ...]:
    plans = []
    for index, block in enumerate(layer.ffn):
        total = ranges[f"{where}.ffn_norms.{index}.sum"]
        own = {node: ranges[f"{where}.ffn.{index}.{node}"] for node in block.tree.walk()}
        plans.append(plan_block(f"{name}.{where}.ffn.{index}", block.tree, own, total, headroom))
    return tuple(plans)


def lower_member(
    builder: Builder, name: str, member: Member, plan: MemberPlan, x: str, ranges: Ranges, headroom: float
) -> LogitsEntry:
    """Add the layers and the head of a member that reads the embedding x; the entry names its logits."""
    after = [layer.fraction for layer in plan.layers[1:]] + [plan.last]
    for index, (layer, own, fraction) in enumerate(zip(member.layers, plan.layers, after, strict=True)):
        x = _lower_layer(builder, f"{name}.layers.{index}", layer, own, fraction, x)
    return lower_head(builder, name, member, x, ranges, headroom)


def _lower_layer(builder: Builder, name: str, layer: Any, plan: LayerPlan, fraction: int, x: str) -> str:
    """Add a layer whose result has so many fraction bits."""
    sums = lower_attention(builder, f"{name}.attention", layer.attention, x)
    y = requantise(builder, f"{name}.attention.fixed", sums, plan.fraction, plan.largest)
    builder.add(Add(f"{name}.attention.sum", (x, y)))
    after = [block.residual for block in plan.blocks[1:]] + [fraction]
    x = normalise(
        builder, f"{name}.attention_norm", f"{name}.attention.sum", layer.attention_norm, plan.blocks[0].residual
    )
    for index, (block, own, places) in enumerate(zip(layer.ffn, plan.blocks, after, strict=True)):
        where, norm = f"{name}.ffn.{index}", layer.ffn_norms[index]
        total = builder.add(Add(f"{where}.sum", (x, lower_block(builder, where, block, own, x))))
        x = normalise(builder, f"{name}.ffn_norms.{index}", total, norm, places)
    return x
