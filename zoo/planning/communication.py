"""What the devices send each other."""

from zoo.engine.layout import MODEL
from zoo.planning.config import PlanConfig
from zoo.planning.cuts import Cuts
from zoo.planning.step_memory import Sizes


def communication(config: PlanConfig, s: Sizes, cuts: Cuts) -> dict[str, float]:
    """Bytes that a device sends in one update, by kind, around a ring.

    Of n devices, each sends (n-1)/n of the array to gather it or to scatter its sum,
    and twice that to reduce it for all (Rajbhandari et al. 2020, section 7). XLA leaves
    out the second gathering of weights where nothing is rematerialised.
    """
    sent: dict[str, float] = {}
    data = (config.mesh_data - 1) / config.mesh_data
    whole = cuts.gathered()
    if config.mesh_data > 1:
        sent["gradients, all-reduce (data)"] = 2 * data * (cuts.used() - whole)
    if whole:
        every = config.accumulate * data * whole
        sent["weights, all-gather for the forward pass (data)"] = every
        sent["weights, all-gather for the backward pass (data)"] = every
        sent["gradients, reduce-scatter (data)"] = data * whole
    if config.mesh_model > 1:
        sent |= _between_parts(config, s, cuts)
    return sent


def _between_parts(config: PlanConfig, s: Sizes, cuts: Cuts) -> dict[str, float]:
    """The activations of tensor parallelism (Shoeybi et al. 2019, section 3).

    Attention and feed-forward each end in a sum over the parts, and so do the gradients
    of their inputs. Where the residual stream is cut too, it is a scatter of the sum
    and a gathering before the next product: as many bytes.
    """
    model = (config.mesh_model - 1) / config.mesh_model
    stream = model * config.accumulate * s.whole_stream * s.itemsize
    logits = model * config.accumulate * s.logits * s.itemsize
    blocks = 2 * 2 * s.model.num_layers * stream
    sent = {
        "activations, all-reduce in the forward pass (model)": blocks,
        "activations, all-reduce in the backward pass (model)": blocks,
    }
    if config.remat:
        sent["activations, all-reduce when recomputed (model)"] = blocks
    if cuts.output_axes[1] == MODEL:
        # Cut by its width: a token's vector is gathered, and its scores are a sum.
        sent["embeddings, all-gather (model)"] = 2 * stream
        sent["logits, all-reduce (model)"] = 2 * logits
    elif cuts.output_axes[0] == MODEL:
        # Cut by the vocabulary: the lookup and the head's input gradient are sums.
        sent["embeddings, all-reduce (model)"] = 2 * 2 * stream
    return sent
