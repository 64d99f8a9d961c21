"""Fine-tuning quality of BERT in zoo and transformers, batch by batch, over seeds.

    KERAS_BACKEND=torch python -m benchmarks.finetuning_quality --task sst2 \\
        --encoder all-MiniLM-L6-v2/ --data-dir data/ --seeds 0 1 2

Both start from the same encoder and see the recipe's batches in the recipe's order,
with its learning rates, weight decay, clipping and dropout; the epoch with the best
validation figure is tested, with the same metrics. Each initialises a new head in its
own way; transformers' warm-up starts at zero, one step behind, and its answers may lie
in padding. Each training leaves a file in `--out` and is skipped if that file exists.
"""

import argparse
import copy
import json
import re
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from recipes import bert_finetune
from recipes.bert_finetune import Config, task_of
from zoo.data import LabelledText, TaggedWords, TextBatches, Tokenizer
from zoo.data.tasks.questions import IMPOSSIBLE
from zoo.evaluation import difference_interval, mean_interval
from zoo.files.atomic import replacing

UNDECAYED = ("bias", "LayerNorm.weight")


class Peer:
    """A transformers model with the prediction methods of ours."""

    def __init__(self, config: Config, kind: type, num_classes: int) -> None:
        fields = {"num_labels": num_classes} if num_classes else {}
        fields["hidden_dropout_prob"] = config.dropout
        fields["attention_probs_dropout_prob"] = config.attention_dropout
        self.mixed = config.precision == "mixed_bfloat16"
        # The fused kernel's backward pass is slow in bfloat16 on a CPU.
        attention = "eager" if self.mixed else "sdpa"
        self.model = kind.from_pretrained(
            config.encoder, attn_implementation=attention, **fields
        )

    def outputs(self, inputs: dict[str, np.ndarray], **targets: torch.Tensor) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.mixed):
            return self.model(
                input_ids=torch.from_numpy(inputs["token_ids"]).long(),
                token_type_ids=torch.from_numpy(inputs["segment_ids"]).long(),
                attention_mask=torch.from_numpy(inputs["padding_mask"]).long(),
                **targets,
            )

    def predict_probabilities(self, inputs):
        return self._predict(inputs).logits.float().softmax(-1).numpy()

    def predict_logits(self, inputs):
        found = self._predict(inputs)
        mask = torch.from_numpy(inputs["padding_mask"])
        return {
            name: torch.where(mask, found[name].float(), IMPOSSIBLE).numpy()
            for name in ("start_logits", "end_logits")
        }

    def _predict(self, inputs):
        self.model.eval()
        with torch.inference_mode():
            return self.outputs(inputs)


def targets_of(batch: tuple) -> dict[str, torch.Tensor]:
    """Renames a batch's targets as transformers expects them."""
    targets = torch.from_numpy(batch[1]).long()
    if len(batch) == 3:
        return {"labels": torch.where(torch.from_numpy(batch[2]) > 0, targets, -100)}
    if targets.ndim == 2:
        return {"start_positions": targets[:, 0], "end_positions": targets[:, 1]}
    return {"labels": targets}


def groups(model: torch.nn.Module, config: Config) -> list[dict[str, Any]]:
    """Gives each parameter the learning rate and weight decay that ours has."""
    found = []
    for name, parameter in model.named_parameters():
        below = model.config.num_hidden_layers + 1  # how far below the top
        if block := re.search(r"encoder\.layer\.(\d+)", name):
            below -= 1 + int(block[1])
        elif "embeddings" not in name:
            below = 0
        rate = config.learning_rate * config.layer_decay**below
        decay = 0.0 if any(part in name for part in UNDECAYED) else config.weight_decay
        found.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    return found


def train_peer(config: Config) -> dict[str, Any]:
    """Trains as the recipe does, in a plain torch loop."""
    data = bert_finetune.examples_of(config)
    tokenizer = Tokenizer.load(config.encoder)
    task = task_of(config, data, tokenizer)
    train, validation = map(task.sequences, (data.train, data.validation))
    batches = TextBatches(train, config.batch_size, seed=config.seed)
    kinds: dict[type, str] = {LabelledText: "Sequence", TaggedWords: "Token"}
    name = kinds.get(type(data.train[0]))
    kind = f"BertFor{name}Classification" if name else "BertForQuestionAnswering"
    torch.manual_seed(config.seed)
    peer = Peer(config, getattr(transformers, kind), len(data.class_names))
    optimizer = torch.optim.AdamW(groups(peer.model, config), fused=True)
    updates = config.epochs * batches.steps_per_epoch
    schedule = transformers.get_linear_schedule_with_warmup(
        optimizer, int(config.warmup * updates), updates
    )
    stream = batches.batches()
    scores: list[float] = []
    train_loss: list[float] = []
    start = time.perf_counter()
    for _ in range(config.epochs):
        peer.model.train()
        losses = []
        for _ in range(batches.steps_per_epoch):
            batch = next(stream)
            optimizer.zero_grad()
            loss = peer.outputs(batch[0], **targets_of(batch)).loss
            loss.backward()
            losses.append(loss.item())
            torch.nn.utils.clip_grad_norm_(peer.model.parameters(), config.clip)
            optimizer.step()
            schedule.step()
        found = task.metrics(peer, data.validation, validation)
        scores.append(found[task.chosen_by])
        train_loss.append(float(np.mean(losses)))
        print(json.dumps({"transformers": found}), flush=True)
        if scores[-1] == max(scores):
            best = copy.deepcopy(peer.model.state_dict())
    seconds = time.perf_counter() - start
    peer.model.load_state_dict(best)
    part = getattr(data, data.tested)
    found = task.metrics(peer, part, task.sequences(part))
    return {
        f"best_val_{task.chosen_by}": max(scores),
        "val": scores,
        "train_loss": train_loss,
        **{f"{data.tested}_{name}": value for name, value in found.items()},
        "seconds": seconds,
    }


def train_zoo(config: Config) -> dict[str, Any]:
    """Runs the recipe itself."""
    summary = bert_finetune.main(config)
    text = (config.out / "metrics.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    (key,) = (k for k in summary if k.startswith("best_val_"))
    names = {"val": key.removeprefix("best_"), "train_loss": "loss"}
    curves = {name: [row[k] for row in rows] for name, k in names.items()}
    return {**summary, **curves}


CONTENDERS = {"zoo": train_zoo, "transformers": train_peer}


def main() -> None:
    """Runs the missing trainings; prints every run, then the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = [name for name in bert_finetune.VARIANTS if name != "tsv"]
    parser.add_argument("--task", choices=tasks, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--learning-rate", type=float, help="default: the recipe's")
    parser.add_argument("--layer-decay", type=float, help="default: the recipe's")
    parser.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16"), default="float32"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/finetuning_quality"))
    flags = parser.parse_args()
    config = bert_finetune.VARIANTS[flags.task]
    changes = {
        name: value
        for name in ("epochs", "learning_rate", "layer_decay", "precision")
        if (value := getattr(flags, name)) is not None
    }
    config = replace(config, encoder=flags.encoder, data_dir=flags.data_dir, **changes)
    runs: dict[str, list[dict]] = {name: [] for name in CONTENDERS}
    for seed in flags.seeds:
        for name, contender in CONTENDERS.items():
            out = flags.out / flags.task / f"{name}_{seed}"
            found = out / "figures.json"
            if not found.exists():
                first = seed == flags.seeds[0] and name == "zoo"
                figures = contender(replace(config, seed=seed, out=out, probe=first))
                text = json.dumps({"config": asdict(config), **figures}, default=str)
                out.mkdir(parents=True, exist_ok=True)
                with replacing(found) as file:
                    file.write(text.encode())
            runs[name].append(json.loads(found.read_text()))
            shown = {k: v for k, v in runs[name][-1].items() if k != "config"}
            print(json.dumps({"contender": name, "seed": seed, **shown}), flush=True)
    for key in runs["transformers"][0] if len(flags.seeds) > 1 else ():
        if key.startswith("test_"):
            values = {name: [run[key] for run in found] for name, found in runs.items()}
            both = {name: str(mean_interval(x)) for name, x in values.items()}
            both["zoo less transformers"] = str(difference_interval(*values.values()))
            print(json.dumps({"figure": key, **both}))


if __name__ == "__main__":
    main()
