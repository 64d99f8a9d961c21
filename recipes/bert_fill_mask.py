"""Ask a pretrained BERT to fill in masked words.

    zoo train bert_fill_mask runs/bert_pretrain/preset \
        "A [MASK] is a sequence of bytes."

Equivalent to `zoo fill-mask`.
"""

import tyro

from zoo.commands.fill_mask import FillMaskConfig, run
from zoo.program import errors_in_one_line

if __name__ == "__main__":
    with errors_in_one_line("bert_fill_mask"):
        run(tyro.cli(FillMaskConfig, description=__doc__))
