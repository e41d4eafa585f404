"""The students of a run: what they read, and how each is made from the ones before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from model.data.dataset import Dataset
from model.data.wordpiece import Tokenizer
from model.distillation import Projection
from model.member import Member
from model.shape import Precision
from model.training.chain import FRESH, LABELS, TEACHER, Step
from model.training.corpus import Corpus, Floats, encode_pool, encode_split, joined
from model.training.facts import FULL, corpus_digest, module_facts, score_facts
from model.training.losses import Loss, batch_loss
from model.training.plan import StagePlan
from model.training.recipe import Recipe
from model.training.runner import Runner
from model.training.scoring import score_logits
from model.training.stage import Sampling, Stage, predict, stage_seed
from model.training.starts import piece_corpus, start_from_student, start_from_teacher, word_vectors
from model.training.store import Facts
from model.training.teacher import Teacher, ask_teacher, read_pieces


@dataclass(frozen=True, eq=False)
class Corpora:
    """What all students read: the splits, the training set with the pool, and what the teacher says of test."""

    train: Corpus
    train_pool: Corpus
    dev: Corpus
    test: Corpus
    teacher_test: Floats | None = None


def gather(
    runner: Runner, recipe: Recipe, dataset: Dataset, tokenizer: Tokenizer, teacher: Teacher | None, pool: Sequence[str]
) -> Corpora:
    """Return the corpora of a run, with the words of its teacher."""
    train, dev, test = (encode_split(tokenizer, split, recipe.data.limit) for split in dataset.splits.values())
    if teacher is None:
        return Corpora(train, train, dev, test)
    said = ask_teacher(runner, teacher, dataset, pool, vectors=recipe.needs_vectors)
    train = pooled = train.taught(said.logits["train"], said.vectors.get("train"))
    if pool:
        extra = encode_pool(tokenizer, pool, recipe.data.limit, dataset.task.regression)
        pooled = joined(train, extra.taught(said.logits["pool"], said.vectors.get("pool")))
    return Corpora(train, pooled, dev, test, said.logits["test"])


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
        member = self.fresh(step.precision, seed, step.plan, split=step.split)
        if step.start == TEACHER:
            self._start_from_teacher(member)
        elif step.start != FRESH:
            start_from_student(member, self.made[step.start])
        self.train_member(step.name, member, step.plan, step.teacher, seed)
        self.made[step.name] = member
        return member

    def fresh(self, precision: Precision, seed: int, plan: StagePlan, *, split: bool = False) -> Member:
        """Return an untrained student, whose words begin where the teacher has them, with what its plan needs."""
        shape = self.recipe.shape_of(precision, self.tokenizer.size, self.dataset.task.classes, split=split)
        torch.manual_seed(seed)
        member = Member(shape)
        if plan.needs_vectors and (vectors := self.corpora.train.teacher_vectors) is not None:
            member.projection = Projection(shape.hidden, vectors.shape[1])
        if self.words is not None:
            member.embedding.words.weight.data.copy_(torch.from_numpy(self.words))
        return member

    def _start_from_teacher(self, member: Member) -> None:
        if self.teacher is None:
            raise TypeError("teacher must be there for a step that starts from it, not None")
        corpus = piece_corpus(self.tokenizer, self.teacher.tokenizer, self.teacher.recipe.limit)
        unknown = [self.teacher.tokenizer.unknown]
        start_from_teacher(member, self.teacher.classifier, [ids[1:-1].tolist() or unknown for ids in corpus.ids])

    @cached_property
    def words(self) -> Floats | None:
        """Where the word vectors of students begin, if there is a teacher."""
        if self.teacher is None:
            return None
        pooled = read_pieces(self.runner, self.teacher, self.tokenizer)
        return word_vectors(pooled, self.recipe.shape_of(FULL, self.tokenizer.size, 2).hidden)

    def train_member(
        self, name: str, member: Member, plan: StagePlan, teacher: str, seed: int, sampling: Sampling | None = None
    ) -> None:
        """Train a student with labels and with what a teacher says: the fine-tuned one, or an earlier student."""
        module = self.made[teacher] if plan.needs_features else None
        sampling = sampling or Sampling()
        loss = batch_loss(plan, self.dataset.task.regression, module, sampling.weights)
        decided = {"teacher": None if module is None else module_facts(module)}
        self.train(name, member, plan, self.corpus_of(plan, teacher), loss, seed, decided, sampling)

    def train(
        self,
        name: str,
        module: nn.Module,
        plan: StagePlan,
        corpus: Corpus,
        loss: Loss,
        seed: int,
        facts: Facts,
        sampling: Sampling | None = None,
    ) -> None:
        """Train a module of one member or more; `facts` say what decides the loss besides the plan and the sampling."""
        drawn = sampling or Sampling()
        stage = Stage(
            name=name,
            module=module,
            plan=plan,
            corpus=corpus,
            loss=loss,
            score=lambda: self.score(module, self.corpora.dev),
            seed=seed,
            device=self.runner.device,
            draw=drawn.draw,
            facts=lambda: self._facts(facts, drawn),
        )
        self.runner.train(stage)

    def corpus_of(self, plan: StagePlan, teacher: str) -> Corpus:
        """Return what a plan trains on, with what its teacher says: the fine-tuned one, or a step of the chain."""
        corpus = self.corpus(plan)
        if plan.needs_teacher and not plan.needs_features and teacher != TEACHER:
            return self._taught_by(teacher, corpus, plan.pool)
        return corpus

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
            ("logits",),
            lambda: {"logits": self.runner.predict(what, member, corpus)},
            lambda: {"module": module_facts(member), "corpus": corpus_digest(corpus)},
        )["logits"]

    def _facts(self, facts: Facts, sampling: Sampling) -> Facts | None:
        """Return what else decides how a student is trained, or None where the sampling does not say."""
        known = {**facts, "sampling": sampling.known}
        return None if sampling.known is None else known | score_facts(self.dataset.task, self.corpora.dev)
