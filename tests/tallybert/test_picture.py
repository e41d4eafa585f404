"""The graph of a machine, and its picture."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import networkx
import pytest

from hw.arch import Accelerator
from hw.config import load_accelerator, presets
from hw.gateware.bank import bank_sizes
from tallybert import cli
from tallybert.machine_graph import BUFFER, UNIT, buffers, machine_graph
from tallybert.picture import draw_machine

Refusal = Callable[..., str]
LEAST = {"memory", "load", "array", "drain", "store", "sequencer", "activation", "weight", "threshold", "output"}


class TestGraph:
    def test_what_is_left_out_is_not_there(self) -> None:
        graph = machine_graph(load_accelerator("nano"))
        assert set(graph) == LEAST
        assert not graph.has_edge("drain", "key")

    @pytest.mark.parametrize("name", presets())
    def test_every_part_is_on_the_way_from_memory_to_memory(self, name: str) -> None:
        graph = machine_graph(load_accelerator(name))
        there, back = networkx.descendants(graph, "memory"), networkx.ancestors(graph, "memory")
        assert there | {"memory"} == set(graph)
        assert (back | {"memory"}) == set(graph) - {"sequencer"}

    def test_buffers_are_read_and_written_by_units_alone(self) -> None:
        graph = machine_graph(load_accelerator("big"))
        kinds = {name: facts["kind"] for name, facts in graph.nodes.items()}
        for name in buffers(load_accelerator("big")):
            assert kinds[name] == BUFFER
            assert {kinds[other] for other in (*graph.pred[name], *graph.succ[name])} == {UNIT}
            assert graph.pred[name] and graph.succ[name]

    def test_activations_have_four_writers(self) -> None:
        assert set(machine_graph(load_accelerator("edge")).pred["activation"]) == {"load", "drain", "vector", "row"}

    def test_no_vote_no_way_to_the_output_buffer(self) -> None:
        a = Accelerator(vector_lanes=4, sum_lines=8, fixed_lines=8, scale_lines=8, level_lines=8)
        assert not machine_graph(a).has_edge("vector", "output")
        assert machine_graph(load_accelerator("edge")).has_edge("vector", "output")

    @pytest.mark.parametrize("name", presets())
    def test_lines_are_those_of_the_gateware(self, name: str) -> None:
        a = load_accelerator(name)
        sizes = bank_sizes(a)
        for buffer, shape in buffers(a).items():
            if buffer in sizes:
                assert (buffer, shape.lines, shape.line_bits) == (buffer, sizes[buffer].lines, sizes[buffer].line_bits)

    def test_sizes_in_words(self) -> None:
        graph = machine_graph(load_accelerator("edge"))
        assert graph.nodes["activation"]["text"] == "8 x 512 lines of 64 bits"
        assert graph.nodes["table"]["text"] == "256 lines of 64 bits, 9 copies"
        assert graph.nodes["array"]["text"] == "8 x 8 x 64 = 4,096 lanes"


class TestPicture:
    def test_every_part_is_named(self) -> None:
        text = draw_machine(load_accelerator("edge"), "svg").decode()
        said = re.findall(r"<text[^>]*>([^<]*)</text>", text)
        graph = machine_graph(load_accelerator("edge"))
        for name, facts in graph.nodes.items():
            assert (name.upper() if facts["kind"] == UNIT else name) in said
            assert facts["text"] in said

    @pytest.mark.parametrize(("form", "begin"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
    def test_the_same_bytes_again(self, form: str, begin: bytes) -> None:
        one, other = (draw_machine(load_accelerator("nano"), form) for _ in range(2))
        assert one == other
        assert one.startswith(begin)


class TestVerb:
    def test_a_line_and_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["picture", "nano", "-o", str(tmp_path / "n.svg")]) == 0
        assert capsys.readouterr().out == f"{tmp_path}/n.svg: 10 units and buffers of nano\n"
        assert (tmp_path / "n.svg").read_bytes() == draw_machine(load_accelerator("nano"), "svg")

    def test_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["picture", "edge", "-o", str(tmp_path / "e.png"), "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert list(report) == ["accelerator", "picture", "nodes", "edges"]
        assert report["nodes"]["weight"] == {"kind": "buffer", "text": "8 x 512 lines of 64 bits", "bits": 262144}
        assert ["load", "weight"] in report["edges"]

    def test_another_form(self, tmp_path: Path, refusal: Refusal) -> None:
        message = refusal("picture", "edge", "-o", str(tmp_path / "e.bmp"))
        assert message == "-o/--output: must end in .svg, .png or .pdf, not .bmp"
        assert refusal("picture", "edge", "-o", str(tmp_path / "e")).endswith("not in nothing")

    def test_no_such_folder(self, tmp_path: Path, refusal: Refusal) -> None:
        assert "must be a file in a folder that exists" in refusal("picture", "edge", "-o", f"{tmp_path}/no/e.svg")
