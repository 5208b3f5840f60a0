"""Trains read-outs, always judged by speakers that they have not heard."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models_registry.loading.encoders import Tokens
from models_registry.loading.readouts import Readout

INNER_FOLDS = 3
STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""L2 penalties on the mean cross-entropy of standardised features, tried in this order
until speakers left out are recognised worse."""

STRENGTH_OF_ONE_SPEAKER = 0.1
"""Taken where a single speaker is left to train on, so that none can judge."""

MAX_EPOCHS = 60
PATIENCE = 10
BATCH_CLIPS = 32
LEARNING_RATE = 1e-3
SCORE_RATE = 0.05
"""Learning rate of the attention, divided by the root of the width: a step moves the scores
of wide tokens as far as those of narrow ones."""
WEIGHT_DECAY = 0.01
HELD_OUT_PART = 4
"""Early stopping listens to the speakers of about one clip in so many."""


def speaker_folds(speakers: Sequence[str], most: int) -> list[int]:
    """The fold of each clip, clips of a speaker together, folds about equally large.

    Speakers with many clips are placed first, each into the smallest fold so far.

    Args:
        speakers: Speaker of each clip.
        most: Folds at most; with fewer speakers, each has one of their own.
    """
    counts = Counter(speakers)
    sizes = [0] * min(most, len(counts))
    fold_of = {}
    for speaker in sorted(counts, key=lambda name: (-counts[name], name)):
        fold_of[speaker] = sizes.index(min(sizes))
        sizes[fold_of[speaker]] += counts[speaker]
    return [fold_of[speaker] for speaker in speakers]


def train_linear(means: Tensor, labels: Tensor, speakers: Sequence[str], classes: int) -> Readout:
    """L2-regularised softmax on the standardised mean of the tokens.

    Every class weighs the same, as in unweighted accuracy. The penalty is the one
    with the lowest cross-entropy on speakers left out in turn.

    Args:
        means: Mean over each clip's tokens, shape ``(clips, width)``.
        labels: Class of each clip, shape ``(clips,)``.
        speakers: Speaker of each clip.
        classes: How many classes.
    """
    readout = _standardising(means, classes)
    _fit_softmax(readout, means, labels, _strength(means, labels, speakers, classes))
    return readout.float().eval()


def train_attentive(
    tokens: Tokens, labels: Tensor, speakers: Sequence[str], classes: int, *, seed: int
) -> Readout:
    """Learnt attention over the standardised tokens and softmax, by AdamW.

    It begins as the linear read-out, every token weighing the same, stops when some
    of the speakers, held out, are recognised no better, and keeps what recognised
    them best.

    Args:
        tokens: Of every clip.
        labels: Class of each clip, shape ``(clips,)``.
        speakers: Speaker of each clip, at least two of them.
        classes: How many classes.
        seed: Seed of the held-out part and of the order of the clips.
    """
    generator = torch.Generator().manual_seed(seed)
    folds = torch.tensor(speaker_folds(speakers, HELD_OUT_PART))
    held_out = int(torch.randint(int(folds.max()) + 1, (), generator=generator))
    heard = torch.nonzero(folds != held_out).squeeze(1)
    unheard = torch.nonzero(folds == held_out).squeeze(1)
    linear = train_linear(
        tokens.of(heard).mean(), labels[heard], [speakers[i] for i in heard.tolist()], classes
    )
    readout = _attending(tokens, heard, linear)
    assert readout.score is not None
    score_rate = SCORE_RATE / tokens.states.shape[-1] ** 0.5
    optimiser = torch.optim.AdamW(
        [
            {"params": readout.classify.parameters(), "lr": LEARNING_RATE},
            {"params": readout.score.parameters(), "lr": score_rate},
        ],
        weight_decay=WEIGHT_DECAY,
    )
    weights = _balancing(labels[heard], classes).float()
    criterion = nn.CrossEntropyLoss(weight=weights)
    best, lowest, since = copy.deepcopy(readout), _loss(readout, tokens, labels, unheard), 0
    for _ in range(MAX_EPOCHS):
        order = heard[torch.randperm(len(heard), generator=generator)]
        for batch in order.split(BATCH_CLIPS):
            optimiser.zero_grad()
            criterion(readout(tokens.of(batch)), labels[batch]).backward()
            optimiser.step()
        loss = _loss(readout, tokens, labels, unheard)
        if loss < lowest:
            best, lowest, since = copy.deepcopy(readout), loss, 0
        else:
            since += 1
            if since >= PATIENCE:
                break
    return best.eval()


def _strength(means: Tensor, labels: Tensor, speakers: Sequence[str], classes: int) -> float:
    """The penalty that does best on speakers left out in turn."""
    folds = torch.tensor(speaker_folds(speakers, INNER_FOLDS))
    if not folds.any():
        return STRENGTH_OF_ONE_SPEAKER
    readouts = [
        _standardising(means[folds != fold], classes) for fold in range(int(folds.max()) + 1)
    ]
    best, lowest = STRENGTHS[0], float("inf")
    for strength in STRENGTHS:
        loss = 0.0
        for fold, readout in enumerate(readouts):
            heard, unheard = folds != fold, folds == fold
            # Each begins where the stronger penalty left it.
            _fit_softmax(readout, means[heard], labels[heard], strength)
            with torch.inference_mode():
                scores = readout.of_mean(means[unheard].double())
            loss += float(_balanced_loss(scores, labels[unheard]))
        if loss >= lowest:
            break
        best, lowest = strength, loss
    return best


def _standardising(means: Tensor, classes: int) -> Readout:
    means = means.double()
    readout = Readout(means.shape[1], classes).double()
    readout.centre.copy_(means.mean(dim=0))
    readout.scale.copy_(means.std(dim=0, correction=0).clamp_min(1e-6))
    return readout


def _attending(tokens: Tokens, clips: Tensor, linear: Readout) -> Readout:
    """A read-out with even attention over standardised tokens that equals the linear one."""
    count = 0
    total = square = torch.zeros((), dtype=torch.double)
    for batch in clips.split(BATCH_CLIPS):
        part = tokens.of(batch)
        states = part.states[part.heard].double()
        count += len(states)
        total = total + states.sum(dim=0)
        square = square + states.square().sum(dim=0)
    centre = total / count
    scale = (square / count - centre.square()).clamp_min(1e-12).sqrt()
    classes, width = linear.classify.weight.shape
    readout = Readout(width, classes, attentive=True)
    readout.centre.copy_(centre)
    readout.scale.copy_(scale)
    with torch.no_grad():
        weight = linear.classify.weight / linear.scale
        readout.classify.weight.copy_(weight * readout.scale)
        readout.classify.bias.copy_(
            linear.classify.bias + weight @ (readout.centre - linear.centre)
        )
    return readout


def _loss(readout: Readout, tokens: Tokens, labels: Tensor, clips: Tensor) -> float:
    with torch.inference_mode():
        scores = torch.cat([readout(tokens.of(batch)) for batch in clips.split(BATCH_CLIPS)])
    return float(_balanced_loss(scores.double(), labels[clips]))


def _fit_softmax(readout: Readout, means: Tensor, labels: Tensor, strength: float) -> None:
    """Minimises balanced cross-entropy + ``strength / 2 * |W|^2`` from where the read-out is."""
    features = ((means.double() - readout.centre) / readout.scale).detach()
    layer = readout.classify
    optimiser = torch.optim.LBFGS(
        layer.parameters(),
        max_iter=200,
        tolerance_grad=1e-4,
        tolerance_change=1e-6,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = _balanced_loss(layer(features), labels)
        loss = loss + strength / 2 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)


def _balanced_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in which every class that occurs weighs the same."""
    weights = _balancing(labels, scores.shape[1]).to(scores.dtype)
    loss: Tensor = nn.functional.cross_entropy(scores, labels, weight=weights)
    return loss


def _balancing(labels: Tensor, classes: int) -> Tensor:
    counts = torch.bincount(labels, minlength=classes).double()
    return torch.where(counts > 0, 1 / counts.clamp_min(1), 0.0)
