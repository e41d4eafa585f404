"""Threads that share the blocks of a compiled pass.

A block is a run of rows whose length follows from the columns alone, and what a pass leaves of a block does not depend
on who computed it: so neither does a result.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from model.kernels import GROUP

BLOCK = 1 << 15
"""Numbers in a block, but for rows so long that a block would have fewer than 4 groups."""

SHARED = 1 << 20
"""Numbers in a matrix from which more threads pay: waking one takes as long as a pass over 10^5 numbers or more."""


def block_height(columns: int) -> int:
    """Return how many rows of a matrix a block has."""
    return GROUP * max(4, BLOCK // (GROUP * columns))


def blocks_of(rows: int, columns: int) -> int:
    """Return how many blocks a matrix has."""
    return -(-rows // block_height(columns))


def run_blocks(kernel: Callable[..., None], rows: int, columns: int, *operands: int) -> None:
    """Run a kernel over all blocks of a matrix, on as many threads as torch uses where that pays."""
    height = block_height(columns)
    blocks = blocks_of(rows, columns)
    threads = min(torch.get_num_threads(), blocks) if rows * columns >= SHARED else 1
    if threads == 1:
        kernel(0, blocks, rows, columns, height, *operands)
        return
    first, *others = itertools.pairwise(blocks * share // threads for share in range(threads + 1))
    running = [_pool().submit(kernel, *share, rows, columns, height, *operands) for share in others]
    kernel(*first, rows, columns, height, *operands)
    for share in running:
        share.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "tallybert-pass")


# A process that was forked has none of the threads, and must not wait for them.
os.register_at_fork(after_in_child=_pool.cache_clear)
