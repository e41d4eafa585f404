"""What the verb study does: every variant of a study over every seed, and the figures of all of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tallybert.studies import load_study
from tallybert.training import DEFAULT_THREADS, Hardware, Place, choose_device, set_threads, within_memory

if TYPE_CHECKING:
    from model.training.inputs import Inputs
    from model.training.progress import Progress
    from model.training.recipe import Recipe
    from model.training.run import RunFolder
    from model.training.study import Study

STUDIES = Path("out") / "studies"


def study(
    path_or_name: str,
    place: Place,
    hardware: Hardware,
    *,
    seeds: int | None,
    glue: Path | None,
    save_every: float,
    progress: Progress,
) -> dict[str, Any]:
    """Train what a study compares, as far as it is not there yet, and return its figures."""
    import torch

    from model.training.pipeline import Machine
    from model.training.store import Store
    from model.training.study_folder import STORE, StudyFolder, check_place, run_path
    from model.training.study_picture import draw_study
    from model.training.study_results import run_figures, study_results

    wanted = load_study(path_or_name)
    wanted = wanted if seeds is None else wanted.with_seeds(seeds)
    path = place.folder or STUDIES / wanted.name
    check_place(path, wanted, resume=place.resume)
    device, threads = _machine(wanted, path, hardware)
    set_threads(threads)
    inputs = _Inputs(wanted, path, glue)
    with StudyFolder(path, wanted, resume=place.resume) as folder:
        progress.say(f"{path}: study {wanted.name}, {_extent(wanted)}, {device}, {threads} threads")
        machine = Machine(device, glue, progress, save_every, Store(path / STORE, device))
        runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in wanted.variants}
        for number, (variant, seed) in enumerate(wanted.runs(), 1):
            recipe, began = wanted.recipe(variant, seed), time.monotonic()
            with within_memory(), _open(run_path(path, variant, seed), recipe) as run:
                run.settle(device=device, threads=threads, torch=torch.__version__)
                report = _train(run, machine, inputs.of(recipe))
                runs[variant].append(run_figures(seed, report, run.costs()))
            figures = f"dev {report['dev_accuracy']:.4f}, test {report['accuracy']:.4f}"
            which = f"{number}/{len(wanted.seeds) * len(wanted.variants)}: {variant}, seed {seed}"
            progress.say(f"{which}: {figures}, {time.monotonic() - began:.0f} s")
        known = {"dataset": report["dataset"], "metric": report["metric"], "examples": report["examples"]}
        known |= {"device": device, "threads": threads, "torch": torch.__version__}
        results = study_results(wanted, runs, known)
        folder.write("study.png", draw_study(results))
        folder.write_results(results)
    return results | {"folder": str(path)}


def _train(run: RunFolder, machine: Any, inputs: Inputs) -> dict[str, Any]:
    from model.training.pipeline import finished_report, train

    return finished_report(run) or train(run, machine, inputs)


def _open(path: Path, recipe: Recipe) -> RunFolder:
    from model.training.run import RunFolder

    return RunFolder(path, recipe, resume=True)


def _machine(wanted: Study, path: Path, hardware: Hardware) -> tuple[str, int]:
    """Return device and threads: those that are given, those of the runs that are there, or the default."""
    from model.training.run import RUN, recorded
    from model.training.study_folder import run_path

    found = next(filter(None, (recorded(run_path(path, *run), RUN) for run in wanted.runs())), {})
    device = choose_device(hardware.device or str(found.get("device", "auto")))
    return device, hardware.threads or int(found.get("threads", DEFAULT_THREADS))


def _extent(wanted: Study) -> str:
    variants, seeds = len(wanted.variants), len(wanted.seeds)
    return f"{variants} variant{'s' * (variants != 1)} x {seeds} seed{'s' * (seeds != 1)}"


class _Inputs:
    """What the runs read: looked at before anything is written, and once for all runs that read the same."""

    def __init__(self, wanted: Study, path: Path, glue: Path | None) -> None:
        from model.checks import NetworkError
        from model.training.inputs import check_starts, read_inputs
        from model.training.study_folder import run_path

        self._read: dict[str, Inputs] = {}
        for variant in wanted.variants:
            recipe = wanted.recipe(variant, wanted.seeds[0])
            key = self._key(recipe)
            try:
                if key not in self._read:
                    self._read[key] = read_inputs(recipe, run_path(path, variant, wanted.seeds[0]), glue)
                if (teacher := self._read[key].teacher_folder) is not None:
                    check_starts(recipe, teacher)
            except NetworkError as error:
                raise NetworkError(f"variants.{variant}: {error}") from None

    def of(self, recipe: Recipe) -> Inputs:
        """Return what a run reads."""
        return self._read[self._key(recipe)]

    @staticmethod
    def _key(recipe: Recipe) -> str:
        from model.checks import canonical_json

        data = recipe.to_dict()
        teacher = data["teacher"]
        reads = None if teacher is None else [teacher["source"], teacher["limit"]]
        return canonical_json({"data": data["data"], "teacher": reads})
