"""N devices equal one: checks what `cells.py` recorded in processes of its own.

Virtual devices: TensorFlow's logical CPUs, JAX's host devices, four torch processes.
"""

import keras
import numpy as np
import pytest

from tests.distribution.models import QUICK, SLOW

BACKEND = keras.config.backend()
CELLS = ["data", "model", "data x model", "sharded"]
if BACKEND == "tensorflow":
    CELLS.append("mirrored")
SOME = [cell for cell in CELLS if cell not in ("data", "model")]
PARTED = ("model", "data x model", "sharded")  # each device holds some of the weights
ROWS = [cell for cell in CELLS if "model" not in cell]


CASES = [*QUICK, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def matrix(request, case):
    """Returns a case's results by cell."""
    if case in SLOW:
        return request.getfixturevalue("seen_slowly")["models"][case]
    return request.getfixturevalue("seen")["matrix"][case]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("case", CASES)
def test_ten_steps_equal_one_device(matrix, cell):
    """Includes clipping, weight decay, averaged weights and two micro-batches."""
    ours = np.array(matrix[cell]["losses"])
    one = np.array(matrix["None"]["losses"])
    assert ours.shape[0] == 10
    assert np.ptp(one, axis=0).max() > 0.05
    np.testing.assert_allclose(ours, one, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("case", CASES)
def test_devices_hold_parts(matrix, cell):
    """Compares bytes of weights and optimizer state per device with one device's."""
    (whole,) = matrix["None"]["bytes"]
    held = matrix[cell]["bytes"]
    assert len(held) == (2 if cell == "mirrored" else 4)
    least, most = {
        "data": (1, 1),
        "mirrored": (1, 1),
        "model": (0.25, 0.5),
        "data x model": (0.5, 0.7),
        "sharded": (0.25, 0.5),
    }[cell]
    for held_bytes in held:
        assert least * whole <= held_bytes <= most * whole * 1.01


@pytest.mark.slow
def test_checkpoints_load_anywhere(seen_slowly):
    """Loads Keras files and presets from each cell in each other cell."""
    found = dict(seen_slowly["checkpoints"])
    expected = found["None itself"]
    loads = len(CELLS) + 2 * len(CELLS) - 1
    assert len(found) == 3 * (len(CELLS) + 1) + 2 * loads
    (whole,) = found["preset bytes in None"]
    for name, value in found.items():
        if name.startswith("preset bytes in "):
            # Each device reads the part that it holds.
            cut = name.removeprefix("preset bytes in ") in PARTED
            assert max(value) < (0.7 if cut else 1.01) * whole, name
        elif name.endswith("updates"):
            assert value == 1, name
        else:
            np.testing.assert_allclose(value, expected, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("cell", SOME)
def test_a_ragged_last_batch(seen_slowly, cell):
    """`fit` drops it; `evaluate` and `predict` count it."""
    ours, one = seen_slowly["ragged"][cell], seen_slowly["ragged"]["None"]
    assert ours["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert np.shape(ours["predicted"]) == (37, 12, 64)
    np.testing.assert_allclose(ours["predicted"], one["predicted"], atol=1e-5)
    assert (one["updates"], ours["updates"]) == (3, 2)
    assert np.isfinite(ours["val_loss"])


@pytest.mark.parametrize("cell", ROWS)
def test_noise_is_drawn_for_the_global_batch(seen, cell):
    """Equal to one device, except on DTensor, which has its own random stream."""
    own_stream = BACKEND == "tensorflow" and cell != "mirrored"
    other = "data" if own_stream else "None"
    assert seen["noise"][cell] == pytest.approx(seen["noise"][other], rel=1e-5)


def test_several_steps_an_execution(seen):
    """Equal on TensorFlow and JAX; Keras refuses them on torch."""
    one, two = seen["executions"]["1"], seen["executions"]["2"]
    if BACKEND == "torch":
        assert "steps_per_execution" in two
        return
    assert (one["updates"], np.shape(one["predicted"])) == (5, (80, 1))
    assert two["updates"] == 5
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("cell", ROWS)
def test_each_device_drops_other_units(seen, cell):
    dropped = np.array(seen["dropout"][cell])
    assert dropped.shape == (16, 64)
    assert len({tuple(row) for row in dropped}) == 16
    assert 0.4 < np.mean(dropped == 0) < 0.6
    assert set(np.unique(dropped)) == {0, 2}


@pytest.mark.parametrize("cell", CELLS)
def test_each_device_drops_other_probabilities(seen, cell):
    dropped = np.array(seen["attention_dropout"][cell])
    assert len({tuple(row.ravel()) for row in dropped}) == 16
    if BACKEND != "tensorflow":  # each of whose devices draws its own part
        one = np.array(seen["attention_dropout"]["None"])
        assert np.abs(dropped - one).max() < 1e-6


@pytest.mark.parametrize("cell", ROWS)
def test_all_devices_skip_an_overflow_on_one(seen, cell):
    found = seen["float16"][cell]
    good, bad, after = found["steps"]
    assert all(step["finite"] and step["equal"] for step in found["steps"])
    assert all(good["moved"])
    for phase, moved in zip(found["phases"], bad["moved"], strict=True):
        assert moved == (phase == "generator")
    assert bad["scales"] == {"discriminator": 2.0**14, "generator": 2.0**15}
    assert all(after["moved"])


@pytest.mark.slow
@pytest.mark.parametrize("cell", SOME)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_sixteen_bits(seen_slowly, policy, cell):
    """Close to one device in the same precision: sums round in another order."""
    if BACKEND == "jax" and policy == "mixed_float16":
        pytest.skip("XLA has no float16 attention product on a CPU")
    ours, one = (seen_slowly["precision"][f"{policy} {name}"] for name in (cell, None))
    assert ours == pytest.approx(one, rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("cell", SOME)
def test_generation(seen_slowly, cell):
    ours, one = seen_slowly["generation"][cell], seen_slowly["generation"]["None"]
    assert ours["text"] == one["text"]
    np.testing.assert_allclose(ours["scores"], one["scores"], atol=1e-5)


@pytest.mark.parametrize(
    "name, words",
    [
        ("too many", ["64 devices", "there are 4"]),
        ("no devices", ["data must be", "got 0"]),
        ("strategy", ["'horovod'"]),
        ("outside", ["outside this block"]),
        ("batch", ["10 rows", "multiple of 4"]),
        ("left", ["outside this block"]),
        ("heads", ["num_heads=3", "model=4"]),
    ],
)
def test_what_is_refused(seen, name, words):
    message = seen["errors"][name]
    assert message.startswith("ValueError")
    assert all(word in message for word in words), message
    assert seen["errors"]["updates"] == 0


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others have one strategy")
def test_what_tensorflow_refuses(seen):
    assert "MirroredStrategy keeps whole weights" in seen["errors"]["mirrored"]
    assert "For several hosts use the jax or torch" in seen["errors"]["hosts"]


@pytest.mark.parametrize("cell", SOME)
def test_ways_to_call_read_and_set(seen, cell):
    """Every way of Keras's on a model, layers and variables equals one device."""
    assert_alike(seen["ways"][cell], seen["ways"]["None"])


@pytest.mark.slow
@pytest.mark.parametrize("cell", SOME)
def test_ways_of_the_trainer(seen_slowly, cell):
    """Weights after Adam's steps match less closely: small gradients are rounding."""
    found = seen_slowly["trainer_ways"]
    assert_alike(found[cell], found["None"], atol=1e-3)


def assert_alike(ours, one, atol=1e-5):
    assert set(ours) == set(one)
    for name, values in one.items():
        assert not isinstance(values, str), (name, values)
        assert not isinstance(ours[name], str), (name, ours[name])
        for found, expected in zip(ours[name], values, strict=True):
            np.testing.assert_allclose(
                found, expected, rtol=1e-5, atol=atol, err_msg=name
            )


OTHERS = {
    "tensorflow": [
        ("gan", "inside"),
        *(("gpt", x) for x in ("outside", "four", "one")),
    ],
    "jax": [("gan", "DataParallel"), ("gpt", "ModelParallel")],
    "torch": [],
}
TRAINING = {"compile", "fit", "train_on_batch"}
REFUSED = {
    "tensorflow": {
        "another scope": "scope of a MirroredStrategy",
        "central storage": "scope of a CentralStorageStrategy",
        "keras": "Keras ignores on TensorFlow",
        "within use": "scope of a MirroredStrategy",
    },
    "jax": {},
    "torch": {
        "processes": "torch.distributed has 4 processes",
        "keras": "Keras ignores on torch",
    },
}


@pytest.mark.parametrize("case, way", OTHERS[BACKEND])
def test_devices_laid_out_by_other_means(seen, case, way):
    """Covers a user's strategy on TensorFlow and Keras's distributions on JAX."""
    ours = np.array(seen["others"][case][way])
    one = np.array(seen["matrix"][case]["None"]["losses"])
    assert ours.shape[0] == 10
    np.testing.assert_allclose(ours, one, rtol=1e-5)


@pytest.mark.parametrize("means, words", REFUSED[BACKEND].items())
def test_what_the_step_takes_no_part_in_is_refused(seen, means, words):
    """Each way to train is refused with the line to write instead."""
    found = seen["others"][means]
    reading = {"evaluate", "predict"} & set(found)
    assert set(found) - {"made"} == TRAINING | reading
    # Where weights are only read, a process or device may work alone.
    assert len(reading) == (0 if means in ("keras", "processes") else 2)
    for call, message in found.items():
        assert words in message, call
        assert "with zoo.distribution.use(data=" in message, call


@pytest.mark.skipif(BACKEND != "tensorflow", reason="others have no scopes")
def test_a_model_of_a_users_strategy_is_used_outside_of_its_scope(seen):
    found = seen["others"]["uses"]
    assert found["generated"] == [2, 7]
    assert found["predicted"] == [5, 12, 64]
    assert found["called"] == [3, 12, 64]
    assert np.isfinite(found["evaluated"])
    assert "made" in seen["others"]["central storage"]
    assert "Leave that scope out" in seen["others"]["use within"]


@pytest.mark.skipif(BACKEND != "jax", reason="others know no layouts of Keras's")
def test_keras_cuts_weights_by_its_own_layout(seen):
    assert seen["others"]["cut"] >= 4


@pytest.mark.skipif(BACKEND != "tensorflow", reason="its DTensor needs it")
def test_slices_are_spelt_out():
    from zoo.distribution.tensorflow_dtensor import _spelt_out

    x = np.arange(24).reshape(2, 3, 4)
    for spec in (
        None,
        1,
        ...,
        slice(1),
        (slice(None), 2),
        (slice(None), None),
        (None, 1),
        (..., None, 2),
        (0, None, ..., slice(1, 3)),
        (slice(1), None, slice(None), slice(None), None),
    ):
        spelt = _spelt_out(spec, 3)
        assert len([part for part in spelt if part is not None]) == 3
        assert ... not in spelt
        np.testing.assert_array_equal(x[spelt], x[spec])
    assert _spelt_out(x > 3, 3).shape == x.shape


@pytest.mark.skipif(BACKEND != "tensorflow", reason="its DTensor needs it")
@pytest.mark.parametrize("name", ["first", "column", "new axis", "place"])
def test_slices_of_what_is_cut(seen, name):
    """Slices are right along any sharded axis, where plain DTensor is wrong."""
    found = seen["slices"][name]
    assert len(found["ours"]) == 3
    for ours in found["ours"]:
        np.testing.assert_array_equal(ours, found["one"])


@pytest.mark.slow
def test_a_recipe_runs_on_a_mesh(seen_slowly):
    first, again = seen_slowly["recipe"]["first"], seen_slowly["recipe"]["again"]
    assert (first["mesh_data"], first["mesh_model"]) == (2, 2)
    assert first["steps"] == again["steps"] == 2
    assert first["val_loss"] == pytest.approx(again["val_loss"], rel=1e-6)
