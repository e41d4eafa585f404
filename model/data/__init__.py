"""Data to train on and to report on: packaged sets, GLUE, a user's files; tokenizer, batches, metrics. No torch."""

from model.data.catalog import DEFAULT, DatasetInfo, datasets, load, unlabelled
from model.data.dataset import DataError, Dataset, Split, Task
from model.data.userfile import Columns

__all__ = [
    "DEFAULT",
    "Columns",
    "DataError",
    "Dataset",
    "DatasetInfo",
    "Split",
    "Task",
    "datasets",
    "load",
    "unlabelled",
]
