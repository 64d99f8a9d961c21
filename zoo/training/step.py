"""One training step, written once for every backend.

    prepare -> [shared] -> for each phase: terms, gradients -> update -> logs

The order of an update is fixed: average over micro-batches, then over replicas,
unscale, check that all gradients are finite, clip, apply, then update the moving
average of the weights. The optimizer does the last three.

If devices see one global batch (`zoo.distribution`), nothing here changes. If the step
runs once per replica, `engine.total` and `engine.average` combine the replicas.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras import ops, tree

from zoo.engine.loss_state import loss_state
from zoo.training.added_losses import ADDED, collected, penalties, with_sum
from zoo.training.optimizers.loss_scale import DynamicLossScale
from zoo.training.phases import (
    Batch,
    Phase,
    Tensor,
    WeightedMean,
    as_weighted,
    batch_size,
    with_training,
)

# Terms by name, and the loss scale of a phase, None at full precision.
Means = dict[str, WeightedMean]
Scale = DynamicLossScale | None


def train(model: Any, data: Any) -> dict:
    """Updates every phase once on a batch; returns the running means of the terms."""
    data, good = _watched(model, data)
    batch = model.plan.engine.prepare(model, data)
    shared = Shared(model, batch)
    terms: Means = {}
    for phase in model.phases():
        terms |= _train_phase(model, phase, batch, shared)
    with model.plan.engine.after(terms):
        model.optimizer.iterations.assign_add(1)
    return _log(model, terms, good)


def test(model: Any, data: Any) -> dict:
    """The running means of every phase's terms, without dropout and updates."""
    data, good = _watched(model, data)
    batch = model.plan.engine.prepare(model, data)
    if model.plan.has_shared:
        batch = {**batch, **_shared_work(model, batch, training=False)}
    terms: Means = {}
    for phase in model.phases():
        terms |= _prefixed(model, phase, _terms(model, phase, batch, training=False))
    return _log(model, terms, good)


def _watched(model: Any, data: Any) -> tuple[Any, Tensor | None]:
    """The batch clipped to its ranges, and whether it was in range before.

    The second value is a boolean scalar, or None if the model declares no ranges.
    Unsigned integers become int32, since TensorFlow has few operations for them.
    """
    data = tree.map_structure(_signed, data)
    batch = model.unpack(data)
    model.form(batch)
    ranges = model.ranges(batch)
    good = model.plan.watch.update(ranges, model.plan.engine)
    cleaned = {id(range_.values): range_.cleaned() for range_ in ranges}
    return tree.map_structure(lambda x: cleaned.get(id(x), x), data), good


def _signed(x: Tensor) -> Tensor:
    if x is None or "uint" not in ops.dtype(x):
        return x
    return ops.cast(x, "int32")


class Shared:
    """The result of `Model.shared`, computed once, and its backward pass.

    With micro-batches it is recomputed for each phase, with the variables as they were
    at the start of the step.
    """

    def __init__(self, model: Any, batch: Batch) -> None:
        self.value: dict = {}
        self.state: dict = {}
        if not model.plan.has_shared:
            return
        self.model, self.engine = model, model.plan.engine
        self.variables = [
            variable
            for phase in model.phases()
            if phase.through_shared
            for variable in model.plan.phase_variables[phase.name]
        ]
        if model.plan.accumulate > 1:
            self._start = model.plan.engine.copies(self.variables)
            return
        if model.optimizer.loss_scales:
            # Restored if the producer's own phase skips its update.
            producers = _producers_state(model)
            state = [v for v in _float_state(model) if id(v) in producers]
            copies = model.plan.engine.copies(state)
            self.state = {id(v): x for v, x in zip(state, copies, strict=True)}
        self.value, self.pull_back = model.plan.engine.linearize(
            lambda: _shared_work(model, batch, training=True), self.variables
        )
        self.value = tree.map_structure(ops.stop_gradient, self.value)
        for x in tree.flatten(self.value):
            if "float" not in ops.dtype(x):
                raise ValueError(
                    f"{type(model).__name__}.shared() must return floating-point "
                    f"arrays, got {x.dtype}, which has no gradient. Make it in "
                    "prepare()."
                )

    def again(self, phase: Phase, micro: Batch) -> dict:
        """Recomputes the shared work for one micro-batch of a phase."""
        if phase.through_shared:
            return _shared_work(self.model, micro, training=True)
        # An earlier phase may have updated the producer.
        present = self.engine.copies(self.variables)
        _assign(self.variables, self._start)
        value = _shared_work(self.model, micro, training=True)
        _assign(self.variables, present)
        return tree.map_structure(ops.stop_gradient, value)


def _shared_work(model: Any, batch: Batch, training: bool) -> dict:
    """The result of `shared`, with the losses that its layers add."""
    producers = [phase for phase in model.phases() if phase.through_shared]
    layers = model.plan.phase_layers[producers[0].name] if producers else []
    with collected(layers) as added:
        value = with_training(model.shared, batch, training)
    return with_sum(value, added)


def _train_phase(model: Any, phase: Phase, batch: Batch, shared: Shared) -> dict:
    scale = model.optimizer.loss_scales.get(phase.name)
    state = _float_state(model) if scale else []
    earlier = shared.state if phase.through_shared else {}
    copies = model.plan.engine.copies(state)
    before = [earlier.get(id(v), x) for v, x in zip(state, copies, strict=True)]
    if model.plan.accumulate == 1:
        terms, gradients = _whole_batch(model, phase, batch, shared, scale)
    else:
        terms, gradients = _micro_batches(model, phase, batch, shared, scale)
    variables = model.plan.phase_variables[phase.name]
    gradients = model.plan.engine.average(gradients, variables)
    optimizer = model.optimizer.members[phase.name]
    if scale is None:
        with model.plan.engine.after(gradients):
            optimizer.apply(gradients, variables)
    else:
        factor = 1.0 / ops.convert_to_tensor(scale.scale)
        gradients = [g * ops.cast(factor, g.dtype) for g in gradients]
        finite = _all_finite(gradients)
        model.plan.engine.when(
            finite,
            lambda: optimizer.apply(gradients, variables),
            [*variables, *optimizer.variables],
        )
        for variable, value in zip(state, before, strict=True):
            after = ops.convert_to_tensor(variable)
            variable.assign(model.plan.engine.select(finite, after, value))
        # Skipped updates are not logged, or one infinity would spoil the epoch's mean;
        # at the scale's floor the scale is not the cause, and the log must show it.
        counts = ops.logical_or(finite, scale.at_floor())
        terms = {
            name: tree.map_structure(lambda x: ops.where(counts, x, 0.0), term)
            for name, term in terms.items()
        }
        scale.update(finite)
    return _prefixed(model, phase, terms)


def _whole_batch(
    model: Any, phase: Phase, batch: Batch, shared: Shared, scale: Scale
) -> tuple[Means, list[Tensor]]:
    """Terms and gradients of a phase on the whole batch."""
    leaves = tree.flatten(shared.value)

    def objective(*leaves: Tensor) -> tuple[Tensor, Means]:
        value = tree.pack_sequence_as(shared.value, leaves)
        given = {**batch, **value} if value else batch
        terms = _terms(model, phase, given, training=True)
        divisors = {
            name: _divisor(model, terms[name].weight, parts=1)
            for name in _coefficients(phase, terms)
        }
        return _objective(phase, terms, divisors, scale), terms

    variables = model.plan.phase_variables[phase.name]
    if not (phase.through_shared and leaves):
        terms, gradients, _ = model.plan.engine.gradients(
            lambda: objective(*leaves), variables
        )
        return terms, gradients
    terms, direct, cotangents = model.plan.engine.gradients(
        objective, variables, leaves
    )
    back = shared.pull_back(cotangents)
    return terms, [d + b for d, b in zip(direct, back, strict=True)]


def _micro_batches(
    model: Any, phase: Phase, batch: Batch, shared: Shared, scale: Scale
) -> tuple[Means, list[Tensor]]:
    """Terms and gradients from `accumulate` micro-batches, in a compiled loop.

    All of them use one divisor, the weight of the whole batch, so that the mean of
    their gradients is the gradient of the batch. Untrained state (moving statistics)
    starts from the same values for each micro-batch and ends at the mean: it advances
    once per update. A variable with `gains_parts` (a history) adds up the changes of
    all parts.
    """
    parts = model.plan.accumulate
    examples = batch_size(batch)
    if isinstance(examples, int) and examples % parts:
        raise ValueError(
            f"A batch of {examples} examples can't be split into accumulate={parts} "
            "equal micro-batches. Choose a batch size that is a multiple of it, and "
            "drop a ragged last batch (drop_remainder)."
        )
    known = {} if phase.weights is None else phase.weights(batch)
    divisors = {
        name: _divisor(model, known.get(name, examples), parts)
        for name in (*phase.objective, ADDED)
    }
    variables = model.plan.phase_variables[phase.name]
    state = _float_state(model)
    start = model.plan.engine.copies(state)

    def objective(micro: Batch) -> tuple[Tensor, Means]:
        if model.plan.has_shared:
            micro = {**micro, **shared.again(phase, micro)}
        terms = _terms(model, phase, micro, training=True, known=known)
        return _objective(phase, terms, divisors, scale), terms

    def part(index: Any) -> tuple[Means, list[Tensor], list[Tensor]]:
        _assign(state, start)
        micro = tree.map_structure(lambda x: _micro_batch(x, index, parts), batch)
        terms, gradients, _ = model.plan.engine.gradients(
            lambda: objective(micro), variables
        )
        return terms, gradients, model.plan.engine.copies(state)

    terms, gradients, ends = model.plan.engine.repeat(part, parts)
    # State of a producer that ran for another phase is advanced by its own phase.
    foreign = set() if phase.through_shared else _producers_state(model)
    for variable, before, total in zip(state, start, ends, strict=True):
        if id(variable) in foreign:
            variable.assign(before)
        elif getattr(variable, "gains_parts", False):
            variable.assign(total - (parts - 1) * before)
        else:
            variable.assign(total / parts)
    return terms, [g / parts for g in gradients]


def _micro_batch(x: Tensor, index: Any, parts: int) -> Tensor:
    """Rows index, index + parts, ...: micro-batches are strided, as device shards."""
    if x is None or not len(x.shape):
        return x
    strided = ops.reshape(x, (-1, parts, *ops.shape(x)[1:]))
    return ops.take(strided, index, axis=1)


def _terms(
    model: Any,
    phase: Phase,
    batch: Batch,
    training: bool,
    known: Mapping[str, Tensor] | None = None,
) -> Means:
    """A phase's terms as `WeightedMean`s; `known` are the whole batch's weights."""
    with collected(model.plan.phase_layers[phase.name]) as added:
        found = with_training(phase.loss, batch, training)
    unknown = set(phase.objective) - set(found)
    if unknown:
        raise ValueError(
            f"The loss of phase {phase.name!r} returned the terms {sorted(found)}, "
            f"but its objective names {sorted(unknown)}. Return these too, or change "
            "the objective."
        )
    if known is not None:
        _check_weights(phase, found, known)
    if phase.through_shared and model.plan.has_shared and ADDED in batch:
        added.append(batch[ADDED])
    added += penalties(model.plan.phase_variables[phase.name])
    examples = batch_size(batch)
    return {
        name: as_weighted(term, examples)
        for name, term in with_sum(found, added).items()
    }


def _check_weights(
    phase: Phase, terms: Mapping[str, Any], known: Mapping[str, Tensor]
) -> None:
    """Raises a ValueError unless the whole batch's weights of the terms are known."""
    for name in phase.objective:
        weighted = isinstance(terms[name], WeightedMean)
        if name in known and not weighted:
            raise ValueError(
                f"Term {name!r} of phase {phase.name!r} has a weight in "
                "Phase(weights=...) but is a mean over examples. Return it as a "
                "WeightedMean, or leave its weight out."
            )
        if weighted and name not in known:
            raise ValueError(
                f"Term {name!r} of phase {phase.name!r} is a WeightedMean, whose total "
                "weight must be known before its batch is split into micro-batches. "
                "Set Phase(weights=...)."
            )


def _coefficients(phase: Phase, terms: Means) -> dict[str, float]:
    """The coefficients of the terms to minimise; added losses have 1."""
    return {**phase.objective, **({ADDED: 1.0} if ADDED in terms else {})}


def _objective(
    phase: Phase, terms: Means, divisors: Mapping[str, Tensor], scale: Scale
) -> Tensor:
    """The scalar to differentiate: the weighted sum of the terms' means."""
    total = sum(
        coefficient * terms[name].total / divisors[name]
        for name, coefficient in _coefficients(phase, terms).items()
    )
    return total if scale is None else total * ops.convert_to_tensor(scale.scale)


def _prefixed(model: Any, phase: Phase, terms: Means) -> Means:
    prefix = model.plan.log_prefix(phase)
    return {prefix + name: term for name, term in terms.items()}


def _log(model: Any, terms: Means, good: Tensor | None) -> dict:
    """The running means by name; a phase's `loss` is its whole objective.

    It sums several terms if the objective has them, and includes the losses that layers
    add. Once a batch is not `good`, the means are NaN and stay NaN.
    """
    logs = model.plan.terms.update(terms, model.plan.engine.total, good)
    for phase in {phase.name: phase for phase in model.phases()}.values():
        prefix = model.plan.log_prefix(phase)
        loss, added = f"{prefix}loss", logs.get(prefix + ADDED)
        if loss not in logs:
            logs[loss] = sum(
                coefficient * logs[prefix + name]
                for name, coefficient in phase.objective.items()
            )
        if added is not None:
            logs[loss] = logs[loss] + added
    return logs


def _float_state(model: Any) -> list[Any]:
    return [v for v in loss_state(model) if "float" in v.dtype]


def _producers_state(model: Any) -> set[int]:
    producers = [phase for phase in model.phases() if phase.through_shared]
    layers = [layer for phase in producers for layer in phase.trains]
    return {id(v) for layer in layers for v in layer.non_trainable_variables}


def _assign(variables: Iterable[Any], values: Iterable[Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _divisor(model: Any, weight: Tensor, parts: int) -> Tensor:
    """A part's share of the batch's weight, summed over all replicas."""
    engine = model.plan.engine
    weight = engine.total(ops.cast(weight, "float32"))
    return ops.where(weight > 0, weight, 1.0) / (parts * engine.replicas)


def _all_finite(gradients: Sequence[Tensor]) -> Tensor:
    """Whether all are finite, a boolean scalar; counted in floats, which add up."""
    infinite = [ops.logical_not(ops.isfinite(g)) for g in gradients]
    return sum(ops.sum(ops.cast(x, "float32")) for x in infinite) == 0
