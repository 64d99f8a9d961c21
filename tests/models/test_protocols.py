"""Methods of one name have one signature in all families."""

import inspect

import numpy as np
import pytest

import zoo
from zoo.models import protocols
from zoo.models.gan import GAN

pytestmark = pytest.mark.host

CLASSES = [
    found
    for name in zoo.__all__
    if inspect.isclass(found := getattr(zoo, name)) and not name.endswith("Config")
] + [GAN]
REQUESTS = {
    "sample": [protocols.Samples],
    "reconstruct": [protocols.Reconstructs],
    "translate": [protocols.TranslatesImages],
    "score": [protocols.Scores, protocols.ScoresPairs],
}
FAMILIES = [
    (cls, method) for cls in CLASSES for method in REQUESTS if hasattr(cls, method)
]


def parameters(owner, method):
    found = inspect.signature(getattr(owner, method)).parameters
    return {name: found[name] for name in list(found)[1:]}


def fault(cls, protocol, method):
    """How a class's method differs from a protocol's; None if it does not."""
    ours, asked = parameters(cls, method), parameters(protocol, method)
    positional = [x for x in asked if asked[x].kind is not asked[x].KEYWORD_ONLY]
    if list(ours)[: len(positional)] != positional:
        return f"takes {list(ours)} first, not {positional}"
    for name, theirs in asked.items():
        if name not in ours:
            return f"lacks {name}"
        if ours[name].kind is not theirs.kind:
            return f"{name} is {ours[name].kind.description}"
        optional = theirs.default is not theirs.empty
        if optional and ours[name].default != theirs.default:
            return f"{name} is {ours[name].default!r} by default"
    for name in ours.keys() - asked.keys():
        if ours[name].default is ours[name].empty:
            return f"needs {name}"
        if method == "sample" and not (
            name in protocols.SAMPLE_OPTIONS
            and ours[name].kind is ours[name].KEYWORD_ONLY
        ):
            return f"{name} is none of the options"
    return None


def name(case):
    return case.__name__ if inspect.isclass(case) else case


@pytest.mark.parametrize(("cls", "method"), FAMILIES, ids=name)
def test_a_method_has_the_signature_of_its_protocol(cls, method):
    faults = [fault(cls, protocol, method) for protocol in REQUESTS[method]]
    assert None in faults, faults


def test_families_have_what_they_should():
    found = {method: set() for method in REQUESTS}
    for cls, method in FAMILIES:
        found[method].add(cls.__name__)
    assert found["sample"] == {
        "VAE",
        "GAN",
        "DCGAN",
        "ImageTokens",
        "Diffusion",
        "NormalizingFlow",
    }
    assert found["reconstruct"] == {"Autoencoder", "NormalizingFlow", "VAE", "VQVAE"}
    assert found["translate"] == {"CycleGAN", "CycleGANGenerator"}
    assert found["score"] == {
        "GPT",
        "LinearLM",
        "NgramLM",
        "RecurrentLM",
        "Transformer",
    }


def test_other_signatures_are_found():
    class Positional:
        def sample(self, count, seed=None):
            pass

    class Needs:
        def sample(self, count, *, seed=None, labels):
            pass

    class Renamed:
        def sample(self, num_images, *, seed=None):
            pass

    class Default:
        def sample(self, count, *, seed=0):
            pass

    class Unknown:
        def sample(self, count, *, seed=None, heat=1.0):
            pass

    for cls in (Positional, Needs, Renamed, Default, Unknown):
        assert fault(cls, protocols.Samples, "sample"), cls


def test_protocols_say_what_a_model_can_do():
    vae = zoo.VAE(zoo.VAEConfig((4, 4, 1), 2, hidden=(4,)))
    assert isinstance(vae, protocols.Samples)
    assert isinstance(vae, protocols.Reconstructs)
    assert not isinstance(vae, protocols.TranslatesImages)
    assert not isinstance(vae, protocols.Scores)


def test_old_calls_warn():
    vae = zoo.VAE(zoo.VAEConfig((4, 4, 1), 2, hidden=(4,)))
    expected = vae.sample(3, seed=1)
    for call in (
        lambda: vae.sample(3, 1),
        lambda: vae.sample(num_images=3, seed=1),
    ):
        message = r"as sample\(count, seed=...\);"
        with pytest.warns(DeprecationWarning, match=message) as caught:
            np.testing.assert_array_equal(call(), expected)
        assert caught[0].filename == __file__
    np.testing.assert_array_equal(vae.sample(count=3, seed=1), expected)
    gan = zoo.DCGAN(zoo.DCGANConfig(2, 3, image_shape=(8, 8, 1), width=2))
    labels = np.array([0, 2])
    expected = gan.sample(2, seed=1, labels=labels)
    for call in (
        lambda: gan.sample(2, 1, labels),
        lambda: gan.sample(2, 1, labels=labels),
        lambda: gan.sample(num_samples=2, seed=1, labels=labels),
    ):
        with pytest.warns(DeprecationWarning, match=r"\(count, seed=..., labels=...\)"):
            np.testing.assert_array_equal(call(), expected)
    for wrong in (
        lambda: vae.sample(3, 1, seed=1),
        lambda: vae.sample(3, num_images=3),
    ):
        with pytest.raises(TypeError, match="sample"):
            wrong()
