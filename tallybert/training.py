"""What the verbs of training do: train, evaluate, read a text, export again. Each function returns a plain report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.messages import shown, suggestion
from tallybert.options import CommandError, say
from tallybert.recipes import load_recipe

if TYPE_CHECKING:
    from model.data.dataset import Dataset
    from model.data.userfile import Columns
    from model.network import Network
    from model.training.ballots import VoteOptions
    from model.training.progress import Progress
    from model.training.recipe import Recipe

RUNS = Path("out") / "runs"
DEFAULT_THREADS = 2
RECORDED = ("float_accuracy", "teacher_accuracy", "accuracy")
FIGURE = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")
SCORE = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?(e[-+]?[0-9]{1,2})?")


@dataclass(frozen=True)
class Place:
    """Where a run is, and whether it is to go on there."""

    folder: Path | None
    resume: bool


@dataclass(frozen=True)
class Hardware:
    """What the command line says of the machine; None is what the run began with, or else the default."""

    device: str | None = None
    threads: int | None = None


def train(
    recipe: str | None,
    place: Place,
    hardware: Hardware,
    *,
    seed: int | None,
    glue: Path | None,
    save_every: float,
    progress: Progress,
) -> dict[str, Any]:
    """Train a recipe in a folder of its own, or let a run go on, and return its report."""
    import torch

    from model.training.inputs import read_inputs
    from model.training.pipeline import Machine
    from model.training.pipeline import train as train_folder
    from model.training.run import RUN, RunFolder, check_place, recorded

    wanted = None if recipe is None else load_recipe(recipe)
    folder = place.folder or _folder(wanted, place.resume)
    found = recorded(folder, RUN) if place.resume else {}
    chosen = _with_seed(folder, wanted, place.resume, seed)
    device = choose_device(hardware.device or found.get("device", "auto"))
    threads = hardware.threads or found.get("threads", DEFAULT_THREADS)
    set_threads(threads)
    check_place(folder, resume=place.resume)
    inputs = read_inputs(chosen, folder, glue)
    with RunFolder(folder, chosen, resume=place.resume) as run:
        run.settle(device=device, threads=threads, torch=torch.__version__)
        progress.say(f"{folder}: recipe {chosen.name}, seed {chosen.seed}, {device}, {threads} threads")
        if found and (found.get("device"), found.get("threads")) != (device, threads):
            was = f"{found.get('device')} and {found.get('threads')} threads"
            progress.say(f"begun on {was}: only there would the results be the same to the bit")
        with within_memory():
            report = train_folder(run, Machine(device, glue, progress, save_every), inputs)
    return report | {"folder": str(folder), "device": device, "threads": threads}


def evaluate(
    path: Path, hardware: Hardware, *, data: str | None, split: str, columns: Mapping[str, str], glue: Path | None
) -> dict[str, Any]:
    """Evaluate the integers of a network on a data set, beside what was recorded at training."""
    from model.evaluation import beside_words, evaluate_split, figures
    from model.network import read_network

    network = read_network(path)
    device = choose_device(hardware.device or "auto")
    set_threads(hardware.threads or DEFAULT_THREADS)
    dataset = _dataset(path, network, data, columns, glue)
    _check_reads_text(path, network)
    examples = dataset.splits[split]
    say(f"{len(examples):,} sentences of {dataset.name}, {split}")
    found = evaluate_split(network, examples, device=device)
    recorded = recorded_figures(path, network)
    return {
        "network": str(path),
        "digest": network.digest,
        "dataset": dataset.name,
        "split": split,
        **figures(dataset.task, examples, found),
        "float_accuracy": recorded.get("float_accuracy"),
        "teacher_accuracy": recorded.get("teacher_accuracy"),
        **beside_words(dataset, split, found.predictions()),
        "recorded": recorded,
        "recorded_on_this_data": network.provenance.get("dataset_digest") == dataset.digest and split == "test",
        "size_bits": network.size_bits(),
    }


def recorded_figures(path: Path, network: Network) -> dict[str, float]:
    """Return the figures that a network's file states, which may be any texts."""
    figures = {}
    for key in RECORDED:
        if key in network.provenance:
            text = network.provenance[key]
            if not FIGURE.fullmatch(text):
                raise CommandError(f"{path}: provenance.{key}: must be a figure such as 0.75, not {shown(text)}")
            figures[key] = float(text)
    return figures


def _check_reads_text(path: Path, network: Network) -> None:
    from model.data.errors import DataError
    from model.reading import tokenizer_of

    try:
        tokenizer_of(network)
    except DataError as error:
        raise CommandError(f"{path}: {error}") from None


def read(path: Path, hardware: Hardware, text: str, pair: str | None) -> dict[str, Any]:
    """Return what a network makes of one text: the class, and the logits of each member."""
    from model.evaluation import read_text
    from model.network import read_network
    from model.reading import encode_texts, is_cut

    network = read_network(path)
    _check_reads_text(path, network)
    set_threads(hardware.threads or DEFAULT_THREADS)
    found = read_text(network, text, pair, device=choose_device(hardware.device or "auto"))
    pieces = len(encode_texts(network, [text], None if pair is None else [pair]).ids[0])
    mean = network.vote == "mean"
    answer = int(found.predictions[0])
    return {
        "network": str(path),
        "pieces": pieces,
        "cut": is_cut(network, text, pair),
        "class": None if mean else answer,
        "label": network.labels[answer] if network.labels and not mean else None,
        "score": answer / (1 << network.fraction) if mean else None,
        "labels": list(network.labels),
        "totals": found.totals[0].tolist(),
        "members_run": int(found.members_run[0]),
        "members": [
            {
                "name": member.name,
                "logits": found.logits[index, 0].tolist(),
                "contribution": found.contributions[index, 0].tolist(),
            }
            for index, member in enumerate(network.members)
        ],
    }


def export(folder: Path, target: Path, options: VoteOptions | None, *, glue: Path | None) -> dict[str, Any]:
    """Write the network of a finished run again, with another vote, and return its figures."""
    from model.evaluation import evaluate_split, figures
    from model.network import write_network
    from model.training.export import export_again
    from model.training.pipeline import with_accuracy
    from model.training.run import RunFolder

    set_threads(DEFAULT_THREADS)
    recipe = finished_recipe(folder)
    if target.resolve().is_relative_to(folder.resolve()):
        raise CommandError(f"{target}: must be outside the run's folder, whose files belong to the run")
    with RunFolder(folder, recipe, resume=True) as run:
        network, dataset = export_again(run, options, glue)
    found = figures(dataset.task, dataset.test, evaluate_split(network, dataset.test))
    network = with_accuracy(network, found)
    write_network(network, target)
    return {
        "network": str(target),
        "run": str(folder),
        "digest": network.digest,
        "dataset": dataset.name,
        "split": "test",
        "vote": network.vote,
        **found,
        "size_bits": network.size_bits(),
    }


def choose_device(name: str) -> str:
    """Return the device that a name stands for: auto is a GPU where there is one."""
    import torch

    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise CommandError("--device must be auto or cpu on a machine without a CUDA GPU, not cuda")
    return ("cuda" if found else "cpu") if name == "auto" else name


def set_threads(threads: int) -> None:
    """Let torch compute with so many threads."""
    import torch

    torch.set_num_threads(threads)


@contextmanager
def within_memory() -> Iterator[None]:
    """Say in one line that a GPU's memory was too small."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise CommandError("batch must fit into the memory of the GPU, not exceed it; lower batch or limit") from None


def _folder(recipe: Recipe | None, resume: bool) -> Path:
    """Return the folder of a run that was given none: a new one, or the newest of the recipe."""
    if recipe is None:
        raise CommandError("RECIPE must be given, or -o with --resume to let a run go on")
    names = (RUNS / f"{recipe.name}-{number}" for number in count(1))
    used: Path | None = None
    for path in names:
        if not path.exists():
            break
        used = path
    return used if resume and used is not None else path


def _with_seed(folder: Path, recipe: Recipe | None, resume: bool, seed: int | None) -> Recipe:
    """Return the recipe to train: the given one or the recorded one, with the seed of the command line or the run."""
    known = _recorded_recipe(folder) if resume else None
    chosen = recipe or known
    if chosen is None:
        raise CommandError(f"{folder}: must be the folder of a run to resume it without a recipe, not one without")
    if seed is not None:
        return chosen.replace(seed=seed)
    return chosen if known is None else chosen.replace(seed=known.seed)


def finished_recipe(folder: Path) -> Recipe:
    """Return the recipe of a run's folder."""
    recipe = _recorded_recipe(folder)
    if recipe is None:
        raise CommandError(f"{folder}: must be the folder of a run, not one without recipe.json")
    return recipe


def _recorded_recipe(folder: Path) -> Recipe | None:
    from model.checks import NetworkError
    from model.training.recipe import Recipe
    from model.training.run import RECIPE, recorded

    found = recorded(folder, RECIPE)
    try:
        return Recipe.from_dict(found) if found else None
    except NetworkError as error:
        raise CommandError(f"{folder / RECIPE}: {error}") from None


def _dataset(path: Path, network: Network, data: str | None, columns: Mapping[str, str], glue: Path | None) -> Dataset:
    from model.data.catalog import datasets, load

    origin = network.provenance.get("dataset")
    name = data or origin
    if name is None or (data is None and name not in [info.name for info in datasets()]):
        what = "does not say what it was trained on" if origin is None else f"was trained on {origin}, a file"
        raise CommandError(f"--data must be given for {path}, which {what}")
    dataset = load(name, glue=glue, columns=_columns(path, network, columns))
    if dataset.task.regression != (network.vote == "mean"):
        kinds = ("classes", "scores")
        expected, found = kinds[network.vote == "mean"], kinds[dataset.task.regression]
        raise CommandError(f"--data must be of {expected}, as {path} gives, not of {found}: {shown(name)}")
    if dataset.task.labels != network.labels:
        expected, found = ", ".join(network.labels[:8]), ", ".join(dataset.task.labels[:8])
        raise CommandError(f"--data must have the classes of {path}, {expected}, not {found}")
    return dataset


def _columns(path: Path, network: Network, names: Mapping[str, str]) -> Columns:
    from model.data.userfile import Columns

    return Columns(**names, labels=network.labels, score_range=_score_range(path, network))


def _score_range(path: Path, network: Network) -> tuple[float, float] | None:
    """Return the scores that a network's file states, which may be any text; none for classes."""
    text = network.provenance.get("score_range")
    if network.vote != "mean" or text is None:
        return None
    parts = text.split(" ")
    scores = [float(part) for part in parts if SCORE.fullmatch(part)]
    if len(parts) != 2 or len(scores) != 2 or scores[0] >= scores[1]:
        expected = "the lowest and the highest score, such as '0 5'"
        raise CommandError(f"{path}: provenance.score_range: must be {expected}, not {shown(text)}")
    return scores[0], scores[1]


def read_columns(text: str) -> dict[str, str]:
    """Read names of columns: text=body,label=verdict."""
    known = ("text", "pair", "label", "group")
    found: dict[str, str] = {}
    for part in text.split(","):
        key, equals, name = part.partition("=")
        if key not in known or not equals or not name or key in found:
            fix = suggestion(key, known) if key not in known else "; give a name" if not name else ""
            raise CommandError(f"--columns must be like text=body,label=verdict, not {shown(text)}{fix}")
        found[key] = name
    return found
