"""The presets: complete, as wide as they say, and small enough for the devices that their comments name."""

import re

import pytest

from hw.arch import FIELDS, Accelerator
from hw.config import PRESET_FOLDER, load_accelerator, presets


class TestPresets:
    def test_names(self) -> None:
        assert presets() == ("nano", "edge", "big", "stream")

    @pytest.mark.parametrize("name", presets())
    def test_each_names_itself_and_leaves_nothing_out(self, name: str) -> None:
        assert load_accelerator(name).name == name
        text = (PRESET_FOLDER / f"{name}.yaml").read_text()
        assert text.startswith(f"# {name}: ")
        for key in (*FIELDS, "counters"):
            assert text.count(f"\n  {key}: ") == 1

    def test_sizes(self) -> None:
        nano, edge, big, stream = map(load_accelerator, presets())
        assert [a.lanes for a in (nano, edge, big, stream)] == [128, 4096, 32768, 32768]
        assert [a.max_inputs for a in (nano, edge, big, stream)] == [4094, 8190, 16382, 16382]
        assert edge.max_inputs >= 3072, "the widest sum of BERT-base"
        layer_bits = 84_900_000 // 12
        assert big.columns * big.weight_lines * big.line_bits >= layer_bits
        assert stream.columns * stream.weight_lines * stream.line_bits >= 2 * layer_bits

    def test_block_ram(self) -> None:
        """The budgets in the comments, from the shapes: blocks of an iCE40 HX8K, an ECP5-85F and a ZCU102."""
        nano, edge, big, _ = map(load_accelerator, presets())
        assert blocks(nano, 16, 256) == [4, 8, 4, 4]
        assert blocks(edge, 32, 512) == [16, 16, 4, 16, 16, 8, 32, 16, 16, 8, 18, 2, 4, 8]
        assert blocks(big, 64, 512) == [128, 256, 8, 64, 64, 32, 128, 32, 32, 32, 66, 2, 4, 32]
        for accelerator in (edge, big):
            pieces = (accelerator.port_bits, accelerator.columns, accelerator.vector_lanes, accelerator.row_lanes)
            assert min(pieces) >= 8, "the write enables of a block"

    @pytest.mark.parametrize(("name", "width", "depth"), [("nano", 16, 256), ("edge", 32, 512), ("big", 64, 512)])
    def test_the_comment_adds_them_up(self, name: str, width: int, depth: int) -> None:
        stated = re.search(r"[Tt]ogether (\d+) of (\d+)\.", (PRESET_FOLDER / f"{name}.yaml").read_text())
        assert stated
        assert sum(blocks(load_accelerator(name), width, depth)) == int(stated[1]) <= int(stated[2])

    def test_block_ram_and_ultra_ram(self) -> None:
        """The budget of stream, in blocks of 72 bits: activations, weights and fixed numbers are the UltraRAMs."""
        stream, large = load_accelerator("stream"), (0, 1, 6)
        wide, deep = blocks(stream, 72, 512), blocks(stream, 72, 4096)
        assert [deep[index] for index in large] == [64, 64, 30]
        small = [count for index, count in enumerate(wide) if index not in large]
        assert small == [8, 64, 128, 224, 57, 57, 224, 260, 4, 8, 30]
        text = (PRESET_FOLDER / "stream.yaml").read_text()
        assert f"Together {64 + 64 + 30} of 640 and {sum(small):,} of 1,344." in text

    def test_a_classifier_fits_the_scale_buffer(self) -> None:
        """As many classes as there may be, each with a weight for each of 768 channels, and their biases."""
        _, *whole = map(load_accelerator, presets())
        lines = [-(-a.classes // 8) * (768 // a.vector_lanes) + a.classes for a in whole]
        assert lines == [208, 256, 160]
        assert all(line <= a.scale_lines for line, a in zip(lines, whole, strict=True))


def blocks(accelerator: Accelerator, width: int, depth: int) -> list[int]:
    """Return the block RAMs of each buffer: a bank, or a copy with a read port of its own, takes whole ones."""
    shapes = [
        (accelerator.rows, accelerator.line_bits, accelerator.activation_lines),
        (accelerator.columns, accelerator.line_bits, accelerator.weight_lines),
        (1, accelerator.threshold_line_bits, accelerator.threshold_lines),
        (accelerator.rows, accelerator.output_line_bits, accelerator.output_lines),
    ]
    if accelerator.key_lines:
        shapes.append((accelerator.columns, accelerator.line_bits, accelerator.key_lines))
    if accelerator.vector_lanes:
        sum_bits = accelerator.sum_line_sums * accelerator.sum_bits
        shapes += [
            (accelerator.drain_rows, sum_bits, accelerator.sum_lines),
            (2, accelerator.vector_lanes * 16, accelerator.fixed_lines),
            (1, accelerator.parameter_line_bits, accelerator.scale_lines),
            (1, accelerator.parameter_line_bits, accelerator.level_lines),
        ]
    if accelerator.row_lanes:
        score_bits = accelerator.score_line_sums * accelerator.sum_bits
        shapes += [
            (accelerator.drain_rows, score_bits, accelerator.score_lines),
            (accelerator.row_lanes + 1, accelerator.table_line_bits, accelerator.table_lines),
        ]
    if accelerator.token_lines:
        shapes += [
            (1, accelerator.token_line_bits, accelerator.token_lines),
            (2, accelerator.word_line_bits, accelerator.word_lines),
            (2, accelerator.embedding_line_bits, accelerator.embedding_lines),
        ]
    return [banks * -(-bits // width) * -(-lines // depth) for banks, bits, lines in shapes]
