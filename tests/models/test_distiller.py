"""Distillation: each loss against torch's, and the student's initial weights."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from tests.models.bert_texts import EAGER, SIZES, masked_texts, run, step, texts
from tests.training.toys import with_weights
from zoo.engine.current import engine
from zoo.models.bert.distiller import cosine, soft_divergence, student_of
from zoo.presets.weights import named_weights

CONFIG = zoo.BertConfig(**SIZES | {"num_layers": 3}, dropout=0.0)
BATCH = masked_texts()


def teacher(**fields) -> zoo.BertPretrainer:
    config = dataclasses.replace(CONFIG, **fields)
    return with_weights(zoo.BertPretrainer(config, name="teacher"), stddev=0.3)


def arrays(model) -> dict[str, np.ndarray]:
    return {k: np.array(engine().numpy(w)) for k, w in named_weights(model).items()}


# === The student ===


def test_starts_as_every_second_layer():
    model = teacher()
    theirs, ours = arrays(model), arrays(student_of(model))
    assert not any("segment" in name or "block_2" in name for name in ours)
    assert {n.split("/")[0] for n in ours} == {"bert", "masked_lm"}
    for name, found in ours.items():
        source = name.replace("block_1", "block_2")
        assert np.array_equal(found, theirs[source]), name


@pytest.mark.parametrize("fields", [{"num_layers": 1}, {"shared_layers": True}])
def test_a_teacher_without_layers_to_leave_out(fields):
    with pytest.raises(ValueError, match="several layers with weights of their own"):
        student_of(teacher(**fields))


def test_arguments_that_do_not_fit():
    encoder = zoo.BertBackbone(zoo.BertConfig(**SIZES))
    for pair in ((encoder,), (teacher(), encoder)):
        with pytest.raises(TypeError, match="must be BertPretrainers.* <BertBackbone"):
            zoo.Distiller(*pair)
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        zoo.Distiller(teacher(), temperature=0)
    with pytest.raises(ValueError, match="must have its teacher's width=24, got 48"):
        zoo.Distiller(teacher(), teacher(width=48))
    with pytest.raises(ValueError, match="is trained with dicts of token_ids"):
        zoo.Distiller(teacher()).check(texts())


# === Losses ===


def test_terms_are_those_of_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    p, q = rng.normal(0, 3, (2, 5, 7)).astype("float32")
    one, other = map(torch.from_numpy, (p, q))
    expected = 4 * torch.nn.functional.kl_div(
        (other / 2).log_softmax(-1), (one / 2).softmax(-1), reduction="none"
    ).sum(-1)
    found = soft_divergence(*map(ops.convert_to_tensor, (p, q)), temperature=2.0)
    assert np.abs(engine().numpy(found) - expected.numpy()).max() < 1e-5
    target = torch.ones(5)
    expected = torch.nn.functional.cosine_embedding_loss(
        other, one, target, reduction="none"
    )
    found = 1 - engine().numpy(cosine(*map(ops.convert_to_tensor, (p, q))))
    assert np.abs(found - expected.numpy()).max() < 1e-6


def test_losses_are_of_tokens_and_of_masked_places():
    torch = pytest.importorskip("torch")
    model = zoo.Distiller(teacher())
    names = ("token_ids", "segment_ids", "padding_mask")
    inputs = {name: BATCH[name] for name in names}
    mask = inputs["padding_mask"]
    hidden, scores = [], []
    for network in (model.teacher, model.student):
        scores.append(torch.from_numpy(np.array(run(network, inputs)["mlm_logits"])))
        hidden.append(torch.from_numpy(np.array(run(network.bert, inputs))))
    one, other = (x[mask] for x in scores)
    functional = torch.nn.functional
    soft = 4 * functional.kl_div(
        (other / 2).log_softmax(-1), (one / 2).softmax(-1), reduction="batchmean"
    )
    one, other = (x[mask] for x in hidden)
    apart = functional.cosine_embedding_loss(other, one, torch.ones(len(one)))
    rows, columns = np.nonzero(BATCH["mask_weights"])
    masked = functional.cross_entropy(
        scores[1][rows, BATCH["mask_positions"][rows, columns]],
        torch.from_numpy(BATCH["mask_ids"][rows, columns]).long(),
    )
    model.compile(**EAGER)
    found = model.evaluate(BATCH, batch_size=3, verbose=0, return_dict=True)
    assert 0 <= found.pop("mlm_accuracy") <= 1
    assert found == pytest.approx(
        {
            "loss": (5 * soft + 2 * masked + apart).item(),
            "soft_loss": soft.item(),
            "mlm_loss": masked.item(),
            "cosine_loss": apart.item(),
        },
        rel=1e-5,
    )


# === Training ===


def test_the_student_alone_is_trained():
    """Micro-batches make no difference, and the teacher never changes."""
    batch = {k: np.concatenate([x, x[:2]]) for k, x in BATCH.items()}
    batch["mask_weights"][2] = 0  # a text in which nothing counts
    ends, logs = [], []
    for parts in (1, 3):
        model = zoo.Distiller(teacher(num_layers=2))
        before = arrays(model.teacher)
        start = arrays(model.student)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, accumulate=parts, **EAGER)
        student = model.student.trainable_variables
        assert {id(v) for v in model.trainable_variables} == {id(v) for v in student}
        assert len(optimizer.variables) == 2 + len(student)
        logs.append(step(model, batch))
        for name, array in arrays(model.teacher).items():
            assert np.array_equal(array, before[name]), name
        ends.append(arrays(model.student))
        for name, array in start.items():
            assert np.abs(ends[-1][name] - array).max() > 1e-6, name
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)
    for name, array in ends[0].items():
        assert np.abs(array - ends[1][name]).max() < 1e-6, name


@pytest.mark.slow
def test_learns_what_the_teacher_knows():
    model = zoo.Distiller(teacher())
    model.compile(keras.optimizers.Adam(3e-3))
    losses = [step(model, BATCH) for _ in range(20)]
    for name in ("soft_loss", "mlm_loss", "cosine_loss"):
        assert losses[-1][name] < 0.8 * losses[0][name], name


# === Saving ===


def test_saved_whole(tmp_path):
    model = zoo.Distiller(teacher(), temperature=3.0)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), **EAGER)
    model.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    assert loaded.temperature == 3.0
    for kind in (lambda m: m.variables, lambda m: m.optimizer.variables):
        for a, b in zip(kind(model), kind(loaded), strict=True):
            assert np.array_equal(*map(engine().numpy, (a, b))), a.path


def test_the_student_is_a_preset(tmp_path):
    student = zoo.Distiller(teacher()).student
    student.save_to_preset(tmp_path)
    again = zoo.BertPretrainer.from_preset(tmp_path)
    assert (again.config.num_layers, again.config.num_segments) == (2, 0)
    expected = run(student, BATCH["token_ids"])["mlm_logits"]
    assert np.array_equal(run(again, BATCH["token_ids"])["mlm_logits"], expected)
