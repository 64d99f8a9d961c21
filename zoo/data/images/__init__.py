"""Images by name, picture files, and batches of them."""

from zoo.data.images.loading import (
    CLOTHES,
    DIGITS,
    IDX_DATASETS,
    MNIST_FILES,
    MNIST_URL,
    ImageDataset,
    Known,
    from_tfds,
    hold_out_a_tenth,
    load_digits,
    load_images,
    load_mnist,
    subset_of,
)

__all__ = [
    "CLOTHES",
    "DIGITS",
    "IDX_DATASETS",
    "ImageDataset",
    "Known",
    "MNIST_FILES",
    "MNIST_URL",
    "from_tfds",
    "hold_out_a_tenth",
    "load_digits",
    "load_images",
    "load_mnist",
    "subset_of",
]
