import collections

import numpy as np
import pytest
import torch

from tests.models import plain_torch_cyclegan as plain
from zoo.formats.authors.cyclegan import load_cyclegan, load_translator
from zoo.models.gan.cyclegan_networks import CycleGANGeneratorConfig


def generator(blocks=2, channels=(3, 1)):
    torch.manual_seed(0)
    return plain.Generator(*channels, 4, blocks)


@pytest.mark.parametrize("statistics", [False, True])
def test_a_published_generator(statistics, tmp_path):
    theirs = generator()
    state = theirs.state_dict()
    if statistics:
        # As in files from 2017.
        state["model.2.running_mean"] = torch.zeros(4)
        state["model.10.conv_block.2.num_batches_tracked"] = torch.tensor(0)
        state = collections.OrderedDict(
            (f"module.{name}", tensor) for name, tensor in state.items()
        )
    torch.save(state, tmp_path / "latest_net_G.pth")
    ours = load_translator(tmp_path / "latest_net_G.pth")
    assert ours.config == CycleGANGeneratorConfig((3, 1), 4, 2)
    images = np.random.default_rng(0).uniform(size=(1, 16, 20, 3)).astype("float32")
    with torch.no_grad():
        expected = theirs(torch.tensor(2 * images - 1).permute(0, 3, 1, 2))
    expected = (expected.permute(0, 2, 3, 1).numpy() + 1) / 2
    np.testing.assert_allclose(ours.translate(images), expected, rtol=0, atol=1e-4)


def test_other_networks_are_named(tmp_path):
    file = tmp_path / "latest_net_G.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), file)
    with pytest.raises(ValueError, match="a ResNet generator, got weights weight"):
        load_translator(file)
    state = generator().state_dict()
    del state["model.4.bias"]
    state["model.99.weight"] = torch.zeros(1)
    torch.save(state, file)
    with pytest.raises(ValueError, match="Missing: model.4.bias.*model.99.weight"):
        load_translator(file)
    with pytest.raises(FileNotFoundError, match="latest_net_G_A.pth"):
        load_cyclegan(tmp_path)
