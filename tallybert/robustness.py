"""What the verb robustness does: the float members of a finished run on disturbed sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tallybert.training import DEFAULT_THREADS, Hardware, choose_device, finished_recipe, set_threads, within_memory

if TYPE_CHECKING:
    from model.training.progress import Progress


def robustness(
    path: Path,
    hardware: Hardware,
    *,
    split: str,
    limit: int | None,
    seeds: int,
    plot: Path | None,
    glue: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Return the figures of a finished run on disturbed sentences, and draw them where that is asked for."""
    from model.training.checkpoint import write_bytes
    from model.training.disturbance import disturb, draw_disturbance, sample
    from model.training.finished import read_finished
    from model.training.run import RunFolder

    device = choose_device(hardware.device or "auto")
    set_threads(hardware.threads or DEFAULT_THREADS)
    with RunFolder(path, finished_recipe(path), resume=True) as folder:
        run = read_finished(folder, glue)
    examples = run.dataset.splits[split]
    examples = examples if limit is None else sample(examples, limit)
    hear = _Levels(progress, len(examples) * seeds)
    with within_memory():
        found = disturb(run, examples, range(seeds), device, hear)
    known = {"run": str(path), "dataset": run.dataset.name, "split": split, "sentences": len(examples)}
    report = {**known, "voters": len(run.members), "vote": run.vote, **found}
    if plot is not None:
        write_bytes(plot, draw_disturbance(report))
    return report | {"plot": None if plot is None else str(plot)}


class _Levels:
    """Shows the levels of all disturbances as one stage; everything is counted in sentences."""

    def __init__(self, progress: Progress, sentences: int) -> None:
        self._progress, self._sentences = progress, sentences

    def __call__(self, done: int, total: int) -> None:
        if done == 0:
            self._progress.begin("disturbed sentences", total * self._sentences)
        self._progress.advance(done * self._sentences, {})
        if done == total:
            self._progress.end()
