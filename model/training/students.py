"""The students of a run: what they read, and how each is made from the ones before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from model.data.dataset import Dataset
from model.data.wordpiece import Tokenizer
from model.member import Member
from model.shape import Precision
from model.training.chain import FRESH, LABELS, TEACHER, Step
from model.training.corpus import Corpus, Floats, encode_pool, encode_split, joined
from model.training.facts import FULL, corpus_digest, module_facts, score_facts
from model.training.losses import batch_loss
from model.training.plan import StagePlan
from model.training.recipe import Recipe
from model.training.runner import Runner
from model.training.scoring import score_logits
from model.training.stage import Sampling, Stage, predict, stage_seed
from model.training.starts import start_from_student, start_words_from_teacher
from model.training.store import Facts
from model.training.teacher import Teacher, teacher_logits


@dataclass(frozen=True, eq=False)
class Corpora:
    """What all students read: the splits, the training set with the pool, and what the teacher says of test."""

    train: Corpus
    train_pool: Corpus
    dev: Corpus
    test: Corpus
    teacher_test: Floats | None = None


def gather(
    runner: Runner, dataset: Dataset, tokenizer: Tokenizer, limit: int, teacher: Teacher | None, pool: Sequence[str]
) -> Corpora:
    """Return the corpora of a run, with the words of its teacher."""
    said = {} if teacher is None else teacher_logits(runner, teacher, dataset, pool)
    train, dev, test = (encode_split(tokenizer, split, limit) for split in dataset.splits.values())
    train = pooled = train.taught(said.get("train"))
    if pool:
        extra = encode_pool(tokenizer, pool, limit, dataset.task.regression)
        pooled = joined(train, extra.taught(said["pool"]))
    return Corpora(train, pooled, dev, test, said.get("test"))


@dataclass
class Students:
    """The students of the chain so far, by the name of their step, and what they are made from."""

    runner: Runner
    recipe: Recipe
    dataset: Dataset
    tokenizer: Tokenizer
    corpora: Corpora
    teacher: Teacher | None = None
    made: dict[str, Member] = field(default_factory=dict)

    def corpus(self, plan: StagePlan) -> Corpus:
        """Return what a plan trains on."""
        return self.corpora.train_pool if plan.pool else self.corpora.train

    def run_step(self, step: Step) -> Member:
        """Train one step of the chain, or read what it gave before."""
        seed = stage_seed(self.recipe.seed, step.name)
        member = self.fresh(step.precision, seed, split=step.split)
        if step.start != FRESH:
            start_from_student(member, self.made[step.start])
        self.train_member(step.name, member, step.plan, step.teacher, seed)
        self.made[step.name] = member
        return member

    def fresh(self, precision: Precision, seed: int, *, split: bool = False) -> Member:
        """Return an untrained student, whose word vectors are the teacher's where there is one."""
        shape = self.recipe.shape_of(precision, self.tokenizer.size, self.dataset.task.classes, split=split)
        torch.manual_seed(seed)
        member = Member(shape)
        if self.teacher is not None:
            start_words_from_teacher(member, self.tokenizer, self.teacher.classifier.encoder, self.teacher.tokenizer)
        return member

    def train_member(
        self, name: str, member: Member, plan: StagePlan, teacher: str, seed: int, sampling: Sampling | None = None
    ) -> None:
        """Train a student with labels and with what a teacher says: the fine-tuned one, or an earlier student."""
        corpus, module = self.corpus(plan), None
        if plan.needs_features:
            module = self.made[teacher]
        elif plan.needs_teacher and teacher != TEACHER:
            corpus = self._taught_by(teacher, corpus, plan.pool)
        sampling = sampling or Sampling()
        stage = Stage(
            name=name,
            module=member,
            plan=plan,
            corpus=corpus,
            loss=batch_loss(plan, self.dataset.task.regression, module, sampling.weights),
            score=lambda: self.score(member, self.corpora.dev),
            seed=seed,
            device=self.runner.device,
            draw=sampling.draw,
            facts=lambda: self._facts(module, sampling),
        )
        self.runner.train(stage)

    def score(self, module: nn.Module, corpus: Corpus) -> float:
        """Return the first metric of the task for a module's logits."""
        return score_logits(self.dataset.task, predict(module, corpus, self.runner.device), corpus.labels)

    def full_precision(self) -> Member | None:
        """Return the last student of the chain that is all of 32 bits, if one is."""
        names = [step.name for step in self.recipe.steps if step.precision == FULL]
        return self.made[names[-1]] if names else None

    def _taught_by(self, teacher: str, corpus: Corpus, pool: bool) -> Corpus:
        name = f"{LABELS}-{teacher}-{'pool' if pool else 'train'}"
        what, member = f"{teacher} reads its pupils' sentences", self.made[teacher]
        return corpus.taught(self.said(name, what, member, corpus))

    def said(self, name: str, what: str, member: Member, corpus: Corpus) -> Floats:
        """Return what a member says of a corpus, computed once."""
        return self.runner.compute(
            name,
            lambda: {"logits": self.runner.predict(what, member, corpus)},
            lambda: {"module": module_facts(member), "corpus": corpus_digest(corpus)},
        )["logits"]

    def _facts(self, teacher: Member | None, sampling: Sampling) -> Facts | None:
        """Return what else decides how a student is trained, or None where the sampling does not say."""
        known = {"teacher": None if teacher is None else module_facts(teacher), "sampling": sampling.known}
        return None if sampling.known is None else known | score_facts(self.dataset.task, self.corpora.dev)
