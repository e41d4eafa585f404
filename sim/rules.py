"""What the operands of what computes must obey beyond the sizes of their fields (docs/machine.md, section 2)."""

from __future__ import annotations

from hw.arch import Accelerator
from hw.isa import Destination, Instruction, Source, SumsDestination, Vote
from sim.errors import MachineError

MAX_CHANNELS = 4096
MAX_EPSILON = (1 << 31) - 1
MAX_ROWS = 1024
"""The most rows of a run: keys of a SOFTMAX, rows of a MEAN."""

SOFTMAX_PLANES = (1, 2, 4)
MAX_MEAN_MULTIPLIER = (1 << 15) - 1
MAX_MEAN_SHIFT = 24
MAX_TABLE_ROWS = 64
MAX_TABLE_SHIFT = 8


def require(holds: int, what: str, constraint: str, found: int) -> None:
    """Refuse what does not hold."""
    if not holds:
        raise MachineError(f"{what} must be {constraint}, not {found}")


def check_matmul(accelerator: Accelerator, i: Instruction, reach: int) -> None:
    """Refuse a MATMUL that breaks a rule; `reach` bounds the sums that it would leave in the array."""
    _check_planes(accelerator, i)
    row_tiles = -(-i.rows // accelerator.rows)
    if not (i.first and i.handover) and (row_tiles, i.column_groups) != (1, 1):
        raise MachineError(
            f"MATMUL without first or without handover must be one tile, not {row_tiles} x {i.column_groups}"
        )
    require(not i.pad or (i.first and not i.unsigned), "pad", "0 where unsigned is 1 or first is 0", i.pad)
    require(i.pad < accelerator.word_bits, "pad", f"less than the {accelerator.word_bits} bits of a word", i.pad)
    factor = largest_product(i)
    inputs = "inputs of a sum" if factor == 1 else f"inputs of a sum, times {factor} for the planes"
    require(reach <= accelerator.max_inputs, inputs, f"at most {accelerator.max_inputs}", reach)


def largest_product(i: Instruction) -> int:
    """Return what one input of a MATMUL can add to a sum: the largest product of its codes, twice that with `plain`."""
    product: int = ((1 << i.activation_planes) - 1) * ((1 << i.weight_planes) - 1)
    return product << i.plain


def _check_planes(accelerator: Accelerator, i: Instruction) -> None:
    require(not i.keys or accelerator.key_lines > 0, "keys", "0 where there is no key buffer", i.keys)
    require(not i.plain or i.unsigned, "plain", "0 where unsigned is 0", i.plain)
    whole = i.unsigned and i.first and i.handover
    for name, single in (
        *(("activation_planes", 1), ("weight_planes", 1)),
        *(("activation_negative", 0), ("weight_negative", 0)),
    ):
        value = getattr(i, name)
        require(whole or value == single, name, f"{single} where unsigned, first or handover is 0", value)
    for name in ("activation_negative", "weight_negative"):
        value = getattr(i, name)
        require(not value or accelerator.code_bits > 1, name, "0 where code_bits is 1", value)
    for name in ("activation_planes", "weight_planes"):
        most = accelerator.code_bits
        require(getattr(i, name) <= most, name, f"at most the {most} code_bits of the accelerator", getattr(i, name))
    require(i.plain or i.weight_planes == 1, "weight_planes", "1 where plain is 0", i.weight_planes)


def check_binarize(accelerator: Accelerator, i: Instruction) -> None:
    """Refuse a BINARIZE whose destination, or a place in it, is none."""
    legal = [place.value for place in Destination if place is not Destination.KEY or accelerator.key_lines]
    require(i.destination in legal, "destination", f"one of {', '.join(map(str, legal))}", i.destination)
    require(i.spare < accelerator.columns, "spare", f"less than the {accelerator.columns} columns", i.spare)
    to_key = i.destination == Destination.KEY
    require(to_key or not i.transpose, "transpose", f"0 where destination is not {Destination.KEY:d}", i.transpose)
    if i.transpose or not to_key:
        require(not i.output_bank, "output_bank", "0 where no rows go to the key buffer", i.output_bank)
        return
    together, columns = min(accelerator.rows, accelerator.columns), accelerator.columns
    require(
        i.output_bank < columns and i.output_bank % together == 0,
        "output_bank",
        f"a multiple of {together} below the {columns} columns",
        i.output_bank,
    )


def check_sums(accelerator: Accelerator, i: Instruction) -> None:
    """Refuse a SUMS of several row tiles, without the buffer that it names, or with a slot that is none."""
    if i.destination == SumsDestination.SCORE:
        require(accelerator.row_lanes, "row_lanes", "at least 1 for SUMS to score", 0)
        _check_slot(accelerator, i)
    else:
        require(accelerator.vector_lanes, "vector_lanes", "at least 1 for SUMS", 0)
        require(not i.slot, "slot", f"0 where destination is {SumsDestination.SUMS:d}", i.slot)
    require(i.rows <= accelerator.rows, "rows", f"at most the {accelerator.rows} rows of the array", i.rows)
    require(i.spare < accelerator.columns, "spare", f"less than the {accelerator.columns} columns", i.spare)


def check_vector(accelerator: Accelerator, i: Instruction) -> None:
    """Refuse a VECTOR that breaks a rule, apart from where its lines are."""
    require(accelerator.vector_lanes, "vector_lanes", "at least 1 for VECTOR", 0)
    require(i.rows <= accelerator.rows, "rows", f"at most the {accelerator.rows} rows of the array", i.rows)
    require(i.channels <= MAX_CHANNELS, "channels", f"at most {MAX_CHANNELS}", i.channels)
    require(i.epsilon <= MAX_EPSILON, "epsilon", f"at most {MAX_EPSILON}", i.epsilon)
    _check_source(accelerator, i)
    from_sums = i.source == Source.SUMS
    require(not (from_sums and i.normalise), "normalise", f"0 where source is {Source.SUMS:d}", i.normalise)
    for name in ("add", "keep", "statistics"):
        value = getattr(i, name)
        wide = "normalise is 1" if i.normalise else f"source is {Source.SUMS:d}" if from_sums else ""
        require(i.scale or not (wide and value), name, f"0 where {wide} without scale", value)
    require(i.add or not i.maximum, "maximum", "0 where add is 0", i.maximum)
    require(i.scale or not i.multiply, "multiply", "0 where scale is 0", i.multiply)
    require(not (i.multiply and i.add), "add", "0 where multiply is 1", i.add)
    _check_code_planes(accelerator, i)
    for name, read in (("source_line", i.source == Source.FIXED), ("add_line", i.add or i.multiply)):
        if i.keep and read:
            _check_replaced(accelerator, i, name)


def _check_replaced(accelerator: Accelerator, i: Instruction, name: str) -> None:
    """Refuse lines of the fixed buffer that one step reads and another one writes."""
    line, lines = getattr(i, name), i.rows * -(-i.channels // accelerator.vector_lanes)
    far = line == i.fixed_line or abs(line - i.fixed_line) >= lines
    require(far, name, f"fixed_line {i.fixed_line} or at least {lines} lines away from it", line)


def _check_source(accelerator: Accelerator, i: Instruction) -> None:
    legal = [source.value for source in Source]
    require(i.source in legal, "source", f"one of {', '.join(map(str, legal))}", i.source)
    embeds = i.source == Source.EMBEDDING
    require(embeds or not i.typed, "typed", f"0 where source is not {Source.EMBEDDING:d}", i.typed)
    if not embeds:
        return
    require(accelerator.token_lines, "token_lines", f"at least 1 for source {Source.EMBEDDING:d}", 0)
    for name, single in (*((flag, 0) for flag in ("normalise", "scale", "add", "maximum", "multiply")), ("planes", 1)):
        value = getattr(i, name)
        require(value == single, name, f"{single} where source is {Source.EMBEDDING:d}", value)


def _check_code_planes(accelerator: Accelerator, i: Instruction) -> None:
    most = accelerator.code_bits
    require(i.planes <= most, "planes", f"at most the {most} code_bits of the accelerator", i.planes)
    if i.planes == 1:
        return
    alone = (("scale", 1), ("sets", 1), ("normalise", 0), ("add", 0), ("keep", 0), ("statistics", 0))
    for name, single in alone:
        value = getattr(i, name)
        require(value == single, name, f"{single} where planes is more than 1", value)


def check_softmax(accelerator: Accelerator, i: Instruction) -> None:
    """Refuse a SOFTMAX that breaks a rule, apart from where its lines are."""
    require(accelerator.row_lanes, "row_lanes", "at least 1 for SOFTMAX", 0)
    require(i.rows <= accelerator.rows, "rows", f"at most the {accelerator.rows} rows of the array", i.rows)
    require(i.keys <= MAX_ROWS, "keys", f"at most {MAX_ROWS}", i.keys)
    require(i.planes in SOFTMAX_PLANES, "planes", f"one of {', '.join(map(str, SOFTMAX_PLANES))}", i.planes)
    most = accelerator.code_bits
    require(i.planes <= most, "planes", f"at most the {most} code_bits of the accelerator", i.planes)
    _check_slot(accelerator, i)


def _check_slot(accelerator: Accelerator, i: Instruction) -> None:
    slots = accelerator.score_slots
    require(i.slot < slots, "slot", f"less than the {slots} score_slots of the accelerator", i.slot)


def check_mean(accelerator: Accelerator, i: Instruction) -> None:
    """Refuse a MEAN that breaks a rule, apart from where its lines are."""
    require(accelerator.vector_lanes, "vector_lanes", "at least 1 for MEAN", 0)
    for name, most in (
        *(("rows", MAX_ROWS), ("channels", MAX_CHANNELS)),
        *(("multiplier", MAX_MEAN_MULTIPLIER), ("shift", MAX_MEAN_SHIFT)),
    ):
        value = getattr(i, name)
        require(value <= most, name, f"at most {most}", value)
    slices = -(-i.channels // accelerator.vector_lanes)
    end = i.source_line + i.rows * slices
    outside = i.fixed_line + slices <= i.source_line or i.fixed_line >= end
    read = f"such that its {slices} lines are none of {i.source_line} to {end - 1}, which are read"
    require(outside, "fixed_line", read, i.fixed_line)


def check_table(accelerator: Accelerator, i: Instruction) -> None:
    """Refuse a TABLE that breaks a rule, apart from where its lines are."""
    require(accelerator.vector_lanes, "vector_lanes", "at least 1 for TABLE", 0)
    for name, most in (("rows", MAX_TABLE_ROWS), ("channels", MAX_CHANNELS), ("shift", MAX_TABLE_SHIFT)):
        value = getattr(i, name)
        require(value <= most, name, f"at most {most}", value)
    _check_replaced(accelerator, i, "source_line")


def check_classify(accelerator: Accelerator, i: Instruction) -> None:
    """Refuse a CLASSIFY that breaks a rule, apart from where its lines are and from what was before it."""
    require(accelerator.classes, "classes of the accelerator", "at least 1 for CLASSIFY", 0)
    most = accelerator.classes
    require(i.classes <= most, "classes", f"at most the {most} classes of the accelerator", i.classes)
    require(i.channels <= MAX_CHANNELS, "channels", f"at most {MAX_CHANNELS}", i.channels)
    legal = [vote.value for vote in Vote]
    require(i.vote in legal, "vote", f"one of {', '.join(map(str, legal))}", i.vote)
    require(i.vote != Vote.MEAN or i.classes == 1, "classes", f"1 where vote is {Vote.MEAN:d}", i.classes)
    require(i.vote != Vote.SOFT or i.bound, "bound", f"at least 1 where vote is {Vote.SOFT:d}", i.bound)


def check_exit(accelerator: Accelerator) -> None:
    """Refuse an EXIT where nothing can decide."""
    require(accelerator.classes, "classes of the accelerator", "at least 1 for EXIT", 0)
