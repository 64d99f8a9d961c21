"""The moments of a step at which a device's memory can peak."""

from collections.abc import Sequence
from dataclasses import dataclass

from zoo.planning import step_memory
from zoo.planning.config import PlanConfig
from zoo.planning.cuts import Cuts
from zoo.planning.inventory import Weight
from zoo.planning.step_memory import Sizes

# Bytes per bucket in which devices sum gradients: XLA's default on GPUs. torch's DDP
# uses 25 MiB.
BUCKET = 30 * 2**20


@dataclass(frozen=True)
class Moment:
    """A device's memory at one moment of a step, beyond weights and optimizer state.

    Attributes:
        name: the moment, for the printed table.
        activations: bytes that the backward pass has yet to read or is writing.
        gradients: bytes of the live gradients of weights.
        copies: bytes of weights gathered whole or cast to the computation's dtype.
    """

    name: str
    activations: int
    gradients: int
    copies: int

    @property
    def bytes(self) -> int:
        """The total."""
        return self.activations + self.gradients + self.copies


def moments(config: PlanConfig, s: Sizes, cuts: Cuts, remat: bool) -> list[Moment]:
    """The moments of a step at which memory can peak.

    From the last block's backward pass to the first's, activations shrink and gradients
    grow, both by the same amount per block, so that one of the two ends is the peak.
    """
    kept = step_memory.between_blocks(s, remat)
    each = s.stream * s.itemsize if remat else step_memory.block(s)
    backward = step_memory.block_backward(s, remat)
    everything, block = cuts.stored(), cuts.stored(cuts.block)
    # Float16's check for infinities needs all gradients at once too. Micro-batches
    # add theirs to a running sum immediately.
    waits = config.accumulate == 1 and (
        config.clip or config.precision == "mixed_float16"
    )
    sums = 0 if config.accumulate == 1 else everything
    # A gradient is whole until it is scattered over the data axis.
    whole = cuts.used(cuts.block) if cuts.gathered() else block
    table = cuts.used(cuts.output)
    # Gradients exist twice while devices sum them.
    bucket = min(everything, BUCKET) if config.mesh_data > 1 else 0
    return [
        Moment(
            "at the loss",
            kept + step_memory.head(s),
            sums,
            _copies(config, cuts, cuts.output if remat else cuts.weights),
        ),
        Moment(
            "in the last block's backward pass",
            kept + backward,
            sums + table + whole - block,
            _copies(
                config, cuts, cuts.block if remat else cuts.weights, next_too=remat
            ),
        ),
        Moment(
            "in the first block's backward pass",
            kept - (s.model.num_layers - 1) * each + backward,
            sums + (everything - block if waits else table) + whole - block,
            _copies(config, cuts, cuts.block, next_too=remat),
        ),
        # The lookup's gradient is scattered into a separate table.
        Moment(
            "at the update",
            0,
            sums + (everything if waits else 0) + max(table, bucket),
            0,
        ),
    ]


def _copies(
    config: PlanConfig, cuts: Cuts, part: Sequence[Weight], next_too: bool = False
) -> int:
    """Bytes of the gathered or cast copies of the weights in `part`.

    Copies made in the forward pass live until the backward pass, since XLA makes
    nothing twice; rematerialised blocks make theirs again. One block's gathering then
    overlaps with another block's computation (`next_too`).
    """
    gathered = cuts.gathered(part) * (2 if next_too else 1)
    if config.precision == "float32":
        return gathered
    in_transit = cuts.gathered(cuts.block) if gathered else 0
    return cuts.used(part) // 2 + in_transit
