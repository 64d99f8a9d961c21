"""Text from language models, and their opinion of text."""

from zoo.generation.generate import Generates
from zoo.generation.prompts import few_shot
from zoo.generation.sampling import Sampling

__all__ = ["Generates", "Sampling", "few_shot"]
