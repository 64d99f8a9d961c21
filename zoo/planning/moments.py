"""The moments of a step at which a device can hold the most."""

from collections.abc import Sequence
from dataclasses import dataclass

from zoo.planning import step_memory
from zoo.planning.config import PlanConfig
from zoo.planning.cuts import Cuts
from zoo.planning.inventory import Weight
from zoo.planning.step_memory import Sizes

# Devices add up gradients in lots of at most so many bytes: XLA's default on GPUs;
# that of torch's DDP is 25 MiB.
BUCKET = 30 * 2**20


@dataclass(frozen=True)
class Moment:
    """What a device holds at one moment of a step, beyond weights and their state.

    Attributes:
        name: of the moment.
        activations: bytes that the backward pass still has to read or is writing.
        gradients: bytes of the weights' gradients alive.
        copies: bytes of weights gathered whole, or cast to the computation's dtype.
    """

    name: str
    activations: int
    gradients: int
    copies: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.activations + self.gradients + self.copies


def moments(config: PlanConfig, s: Sizes, cuts: Cuts, remat: bool) -> list[Moment]:
    """The moments of a step at which memory can be at its peak.

    Between the first block's and the last block's backward pass, activations go down
    and gradients up, block by block at the same rate: one of the ends is the peak.
    """
    kept = step_memory.between_blocks(s, remat)
    each = s.stream * s.itemsize if remat else step_memory.block(s)
    backward = step_memory.block_backward(s, remat)
    everything, block = cuts.stored(), cuts.stored(cuts.block)
    # Float16's check for infinities waits for all gradients too. Micro-batches add
    # theirs to a sum at once.
    waits = config.accumulate == 1 and (
        config.clip or config.precision == "mixed_float16"
    )
    sums = 0 if config.accumulate == 1 else everything
    # Before it is scattered over the data axis, a gradient is whole.
    whole = cuts.used(cuts.block) if cuts.gathered() else block
    table = cuts.used(cuts.output)
    # The gradients that devices are just adding up exist twice.
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
        # The lookup's gradient is scattered into a table of its own.
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
    """Bytes of weights that are there gathered or cast, for those in `part`.

    What the forward pass gathers or casts is there until the backward pass, since XLA
    does nothing twice; but rematerialised blocks do it anew. A block's gathering then
    begins while another one is computed with (`next_too`).
    """
    gathered = cuts.gathered(part) * (2 if next_too else 1)
    if config.precision == "float32":
        return gathered
    in_transit = cuts.gathered(cuts.block) if gathered else 0
    return cuts.used(part) // 2 + in_transit
