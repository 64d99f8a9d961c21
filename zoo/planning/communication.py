"""How much data the devices exchange."""

from zoo.engine.layout import MODEL
from zoo.planning.config import PlanConfig
from zoo.planning.cuts import Cuts
from zoo.planning.step_memory import Sizes


def communication(config: PlanConfig, s: Sizes, cuts: Cuts) -> dict[str, float]:
    """Bytes that a device sends per update, by kind, with ring collectives.

    Each of n devices sends (n-1)/n of the array in an all-gather or a reduce-scatter,
    and twice that in an all-reduce (Rajbhandari et al. 2020, section 7). Without
    rematerialisation XLA omits the second all-gather of the weights.
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
    """Bytes that tensor parallelism sends (Shoeybi et al. 2019, section 3).

    Attention and feed-forward each end in an all-reduce over the parts, and so do the
    gradients of their inputs. If the residual stream is sharded too, a reduce-scatter
    and an all-gather before the next product send the same number of bytes.
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
        # Sharded by width: embeddings are gathered, and logits are summed.
        sent["embeddings, all-gather (model)"] = 2 * stream
        sent["logits, all-reduce (model)"] = 2 * logits
    elif cuts.output_axes[0] == MODEL:
        # Sharded by vocabulary: lookups and the head's input gradients are summed.
        sent["embeddings, all-reduce (model)"] = 2 * 2 * stream
    return sent
