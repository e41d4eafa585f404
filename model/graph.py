"""The graph of a network: what value each operation gives, which operations a value needs, where the layers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from model.binary_layer import BinaryLayer
from model.checks import nearest, refuse, require, show
from model.fields import INPUT
from model.operation import Operation
from model.operations import Binarize, Matmul
from model.values import Value


def infer_values(operations: Sequence[Operation], value: Value) -> dict[str, Value]:
    """Return the value of the input and of each operation; every operation must stand after those that it reads."""
    names = [operation.name for operation in operations]
    twice = [name for name, count in Counter(names).items() if count > 1]
    require(not twice, "operations", "of different names", twice[0] if twice else None)
    values = {INPUT: value}
    for operation in operations:
        for index, source in enumerate(operation.sources):
            if source not in values:
                hint = "; an operation stands after what it reads" if source in names else nearest(source, values)
                refuse(f"{operation.name}.sources[{index}]", "the input or an operation before", show(source), hint)
        values[operation.name] = operation.result([values[source] for source in operation.sources])
    return values


def require_used(operations: Sequence[Operation], outputs: Collection[str]) -> None:
    """Refuse an operation whose value nothing uses."""
    used = {source for operation in operations for source in operation.sources}
    for operation in operations:
        if operation.name not in used and operation.name not in outputs:
            refuse(operation.name, "used by an operation or a member", "left over")


def needed(operations: Sequence[Operation], output: str) -> tuple[Operation, ...]:
    """Return the operations that a value needs, in order."""
    wanted = {output}
    for operation in reversed(operations):
        if operation.name in wanted:
            wanted.update(operation.sources)
    return tuple(operation for operation in operations if operation.name in wanted)


def binary_layers(operations: Sequence[Operation], values: Mapping[str, Value]) -> Iterator[BinaryLayer]:
    """Yield the layer, named as the matmul, of each matmul of 1-bit codes that one binarize and nothing else reads."""
    readers: dict[str, list[Operation]] = {}
    for operation in operations:
        for source in operation.sources:
            readers.setdefault(source, []).append(operation)
    for matmul in operations:
        if not isinstance(matmul, Matmul) or values[matmul.sources[0]].bits != 1:
            continue
        match readers.get(matmul.name, []):
            case [Binarize() as after]:
                input_set = values[matmul.sources[0]].set
                sizes = (matmul.inputs, matmul.outputs)
                yield BinaryLayer(matmul.name, *sizes, input_set, matmul.weights, after.thresholds, after.polarity)


def chain_operations(layers: Sequence[BinaryLayer], output_set: str) -> Iterator[Operation]:
    """Yield a matmul and a binarize for each layer; the set of the bits is the one that the next layer reads."""
    source = INPUT
    for index, layer in enumerate(layers):
        set_after = layers[index + 1].input_set if index + 1 < len(layers) else output_set
        bits = f"{layer.name}.bits"
        yield Matmul(layer.name, (source,), layer.inputs, layer.outputs, layer.weights)
        yield Binarize(bits, (layer.name,), set_after, layer.thresholds, layer.polarity)
        source = bits
