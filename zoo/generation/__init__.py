"""Text generation by language models, and scoring of text."""

from zoo.generation.generate import Generates
from zoo.generation.prompts import few_shot
from zoo.generation.sampling import Sampling
from zoo.generation.translate import Translates

__all__ = ["Generates", "Sampling", "Translates", "few_shot"]
