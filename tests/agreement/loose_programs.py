"""Random programs that no mapper would make: any operands over the whole legal range, all units at once, tokens between
all of them, members that vote and EXITs that end the run in the middle.
"""

from __future__ import annotations

from random import Random

from hw.arch import Accelerator
from hw.isa import Destination, Instruction, Opcode, Source, SumsDestination, make
from hw.program import Program
from tests.agreement.loose_products import LooseProducts
from tests.agreement.loose_rows import LooseRows
from tests.agreement.loose_scene import Scene
from tests.agreement.loose_tables import LooseTables
from tests.agreement.loose_transfers import LooseTransfers
from tests.agreement.loose_vectors import LooseVectors
from tests.agreement.loose_votes import LooseVotes

_MOST_CHANNELS = 4096


class LooseProgram:
    """Builds one program: every line that a LOAD can write is loaded first, then anything follows."""

    def __init__(self, accelerator: Accelerator, random: Random) -> None:
        self.a = accelerator
        self.scene = Scene(accelerator, random)
        self.transfers = LooseTransfers(self.scene)
        self.products = LooseProducts(self.scene)
        self.vectors = LooseVectors(self.scene)
        self.rows = LooseRows(self.scene, self.products)
        self.tables = LooseTables(self.scene)
        self.votes = LooseVotes(self.scene)

    def build(self, parts: int, clean: bool) -> Program:
        """Return the program with its memory; `clean` makes it independent of what the buffers hold at first."""
        scene = self.scene
        for buffer in scene.random.sample(scene.buffers, len(scene.buffers)):
            self.transfers.fill(buffer)
        if clean:
            self._clean()
        self._parts(parts)
        if self.a.classes and scene.number(0, 1) and self.votes.classify(decides=True):
            self._parts(scene.number(0, 2))
            scene.add(make(Opcode.EXIT))
            self._parts(scene.number(1, 6))
        scene.add(make(Opcode.HALT))
        return scene.program()

    def _parts(self, count: int) -> None:
        """Add something of every kind, in any order."""
        best, vectors = self.scene.add_best, self.vectors
        kinds = [
            (6, lambda: best(self.products.bits)),
            (3, lambda: best(self.products.sums)),
            (2, self.rows.scores),
            (3, self.rows.chain),
            (3, self.rows.softmax),
            (8, lambda: best(vectors.vector)),
            (3, lambda: best(vectors.embedding)),
            (2, lambda: best(vectors.mean)),
            (4, self.tables.table),
            (3, self.votes.classify),
            (2, self.votes.exit),
            (3, lambda: best(self.transfers.load)),
            (3, lambda: best(self.transfers.store)),
            (3, self.transfers.gather),
            (1, lambda: self.scene.add(make(Opcode.FENCE))),
        ]
        weights, makers = zip(*kinds, strict=True)
        for add in self.scene.random.choices(makers, weights, k=count):
            add()

    # --- buffers that no LOAD writes -----------------------------------------------------------------------------

    def _clean(self) -> None:
        """Write every line of the other buffers: what they hold no longer depends on an earlier run."""
        a = self.a
        self._clean_bits(Destination.OUTPUT, a.rows * a.output_lines)
        if a.key_lines:
            self._clean_bits(Destination.KEY, a.columns * a.key_lines)
        if a.row_lanes:
            self._clean_sums(SumsDestination.SCORE, a.score_lines * a.score_line_groups)
        if a.vector_lanes:
            self._clean_sums(SumsDestination.SUMS, a.sum_lines * a.sum_line_groups)
            self._clean_fixed()

    def _clean_bits(self, destination: Destination, rows: int) -> None:
        """Write the first group of each line; that clears the rest of it."""
        shape = {"rows": rows, "column_groups": 1}
        place = {"threshold_line": 0, "output_line": 0, "output_group": 0, "output_stride": 1}
        self.scene.add(_product(**shape), make(Opcode.BINARIZE, destination=destination, **place, **shape))

    def _clean_sums(self, destination: SumsDestination, groups: int) -> None:
        shape = {"rows": self.a.drain_rows, "column_groups": groups}
        place = {"destination": destination, "output_line": 0, "output_group": 0, "output_stride": 0}
        self.scene.add(_product(**shape), make(Opcode.SUMS, **place, **shape))

    def _clean_fixed(self) -> None:
        """Write line 0, then as many lines again as there are, as often as it takes."""
        a = self.a
        usual = {"rows": 1, "keep": 1, "source_line": 0}
        self.scene.add(
            make(Opcode.VECTOR, source=Source.SUMS, scale=1, shift=3, channels=a.vector_lanes, fixed_line=0, **usual)
        )
        done = 1
        while done < a.fixed_lines:
            lines = min(done, a.fixed_lines - done, _MOST_CHANNELS // a.vector_lanes)
            more = {"channels": lines * a.vector_lanes, "fixed_line": done}
            self.scene.add(make(Opcode.VECTOR, source=Source.FIXED, **usual, **more))
            done += lines


def _product(**shape: int) -> Instruction:
    """Return a product of one word that reads the same lines in every tile."""
    form = {"unsigned": 0, "first": 1, "handover": 1, "words": 1, "pad": 0}
    place = {"activation_line": 0, "weight_line": 0, "activation_stride": 0, "weight_stride": 0}
    return make(Opcode.MATMUL, **form, **place, **shape)
