"""How compiled passes are cut into blocks, shared by threads, and compiled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from numba import njit

from model import blocks, functions, kernels
from tests.model.passes import ALPHA, binarized

ROOT = Path(__file__).parents[2]


@pytest.fixture
def threads():
    """Put the number of threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch, threads):
    torch.manual_seed(5)
    monkeypatch.setattr(blocks, "SHARED", 0)
    x, beta, direction = torch.randn(11, 130, 96), 0.1 * torch.randn(96), torch.randn(11, 130, 96)
    heads = torch.randn(3, 4, 80, 50)
    scale, bias, y = torch.rand(96), torch.randn(96), torch.randn(1430, 96)

    def everything(number):
        torch.set_num_threads(number)
        found = binarized(x, torch.tensor(ALPHA), beta, False, False, direction)
        found += binarized(heads, torch.tensor(ALPHA), torch.randn(4, 1, 1).mul(0), True, False, heads)
        shifted, alpha = y.clone(), torch.tensor(ALPHA)
        addresses = shifted.data_ptr(), alpha.data_ptr(), scale.data_ptr(), bias.data_ptr()
        blocks.run_blocks(kernels.scale_and_shift, *y.shape, *addresses)
        return [*found, shifted, functions.mean(y)]

    alone = everything(1)
    for number in (2, 3, 16):
        for mine, theirs in zip(alone, everything(number), strict=True):
            assert torch.equal(mine, theirs)


def test_blocks_cover_each_row_once(monkeypatch, threads):
    monkeypatch.setattr(blocks, "SHARED", 0)
    seen = []

    def kernel(first, last, rows, columns, height, tag):
        assert (rows, columns, height, tag) == (10_000, 64, blocks.block_height(64), 7)
        seen.extend(range(first * height, min(last * height, rows)))

    for number in (1, 2, 7, 100):
        torch.set_num_threads(number)
        seen.clear()
        blocks.run_blocks(kernel, 10_000, 64, 7)
        assert sorted(seen) == list(range(10_000))


def test_few_numbers_are_not_shared(threads):
    torch.set_num_threads(4)
    calls = []
    blocks.run_blocks(lambda *call: calls.append(call), 1024, 512)
    assert calls == [(0, 16, 1024, 512, 64)]


@pytest.mark.parametrize(("columns", "height"), [(1, 32768), (64, 512), (100, 320), (1024, 32), (70_000, 32)])
def test_blocks_follow_from_the_columns_alone(columns, height):
    assert blocks.block_height(columns) == height
    assert blocks.blocks_of(1, columns) == blocks.blocks_of(height, columns) == 1
    assert blocks.blocks_of(height + 1, columns) == 2


FORK = """
import os, torch
from model import blocks
from model.functions import mean
blocks.SHARED = 0
torch.set_num_threads(2)
matrix = torch.randn(2000, 64)
before = mean(matrix)
child = os.fork()
if not child:
    os._exit(0 if torch.equal(mean(matrix), before) else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", FORK], env=environment, timeout=120, check=False)
    assert done.returncode == 0


def test_kernels_compile_without_a_folder_for_the_cache(monkeypatch):
    def no_folder(**options):
        if "cache" in options:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(kernels.numba, "njit", no_folder)
    assert kernels.compiled(lambda number: number + 1)(2) == 3
