"""The activations of transformers, by name."""

from keras import ops

ACTIVATIONS = {
    # Hendrycks & Gimpel 2016: exact, and the approximation of GPT-2 and ALBERT.
    "gelu": lambda x: ops.gelu(x, approximate=False),
    "gelu_tanh": lambda x: ops.gelu(x, approximate=True),
    "relu": ops.relu,
}
