"""Rotary positions as Hugging Face's configurations state them, now and before.

Version 5 of `transformers` has one dict, `rope_parameters`; before, `rope_theta`,
`rope_scaling` and the rotated share stood apart.
"""

from collections.abc import Mapping
from typing import Any

from zoo.configs.checks import shown
from zoo.formats.huggingface.options import check_fixed, option
from zoo.layers.attention.rotary import Rotary

# Their names of scalings.
TYPES = {"default": "none", "linear": "linear", "yarn": "yarn", "llama3": "llama3"}
# Their names of our fields, by scaling.
FIELDS = {
    "linear": {"factor": "factor"},
    "yarn": {
        "factor": "factor",
        "original_length": "original_max_position_embeddings",
        "slow": "beta_slow",
        "fast": "beta_fast",
        "gain": "attention_factor",
    },
    "llama3": {
        "factor": "factor",
        "original_length": "original_max_position_embeddings",
        "slow": "low_freq_factor",
        "fast": "high_freq_factor",
    },
}
# What changes the frequencies in a way that ours do not have.
FIXED: dict[str, tuple[Any, ...]] = {
    "mscale": (None,),
    "mscale_all_dim": (None,),
    "truncate": (True,),
}


def rotary_of(
    theirs: Mapping[str, Any], theta: float, share: float = 1.0, unrotated: int = 0
) -> Rotary:
    """Our rotary positions for their configuration.

    Args:
        theirs: the contents of config.json.
        theta: the base where they name none.
        share: the rotated share of a head where they name none.
        unrotated: as `Rotary.unrotated_every`.

    Raises:
        ValueError: they scale the frequencies in another way.
    """
    nested = theirs.get("rope_parameters") or theirs.get("rope_scaling") or {}
    if not isinstance(nested, Mapping):
        raise ValueError(f"rope_parameters must be a dict, got {shown(nested)}.")
    check_fixed(nested, FIXED, "zoo.GPT")
    theta = option(theirs, "rope_theta", float(theta))
    share = option(theirs, "partial_rotary_factor", float(share))
    kind = option(nested, "rope_type", option(nested, "type", "default"))
    if kind not in TYPES:
        raise ValueError(f"rope_type must be one of {tuple(TYPES)}, got {shown(kind)}.")
    fields: dict[str, Any] = {
        "theta": option(nested, "rope_theta", theta),
        "share": option(nested, "partial_rotary_factor", share),
        "unrotated_every": unrotated,
        "scaling": TYPES[kind],
    }
    own = {"slow": 1.0, "fast": 4.0 if kind == "llama3" else 32.0, "factor": 1.0}
    own |= {"gain": 0.0}
    for ours, name in FIELDS.get(kind, {}).items():
        if ours == "original_length":
            length = option(theirs, "max_position_embeddings", 0)
            fields[ours] = option(nested, name, length)
        else:
            fields[ours] = option(nested, name, own[ours])
    return Rotary(**fields)


def their_rotary(rotary: Rotary) -> dict[str, Any]:
    """The entries of config.json for our rotary positions, in both of their forms."""
    kind = next((k for k, ours in TYPES.items() if ours == rotary.scaling), "default")
    scaling: dict[str, Any] = {"rope_type": kind}
    for ours, name in FIELDS.get(kind, {}).items():
        if ours != "gain" or rotary.gain:
            scaling[name] = getattr(rotary, ours)
    parameters = {"rope_theta": rotary.theta, **scaling}
    if rotary.share != 1:
        parameters["partial_rotary_factor"] = rotary.share
    return {"rope_parameters": parameters, "rope_theta": rotary.theta}
