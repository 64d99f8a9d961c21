import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file

from recipes import bert_fill_mask, bert_finetune, bert_pretrain
from tests.recipes.runs import assert_same_run, stopped_at_checkpoint
from zoo.commands.fill_mask import FillMaskConfig
from zoo.data import Question, Tokenizer, question_windows
from zoo.engine.current import engine
from zoo.evaluation.text import bert_tasks
from zoo.evaluation.text.tasks import answer_figures
from zoo.models.bert.backbone import BertBackbone, BertConfig
from zoo.models.bert.fill_mask import fill_mask
from zoo.models.bert.pretrainer import BertPretrainer
from zoo.models.bert.tasks import BertClassifier
from zoo.training.runs.flags import replace
from zoo.training.runs.run import parse

PRETRAIN = bert_pretrain.Config(smoke=True)
FINETUNE = bert_finetune.Config(smoke=True)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The folder of a pretraining, and its summary."""
    out = tmp_path_factory.mktemp("pretrained")
    return out, bert_pretrain.main(replace(PRETRAIN, out=out))


@pytest.fixture(scope="module")
def finetuned(pretrained, tmp_path_factory):
    """The folder of a fine-tuning that starts from it, and its summary."""
    out = tmp_path_factory.mktemp("finetuned")
    config = replace(FINETUNE, encoder=pretrained[0] / "preset", out=out, probe=True)
    return out, bert_finetune.main(config)


@pytest.fixture(scope="module")
def words_of_questions():
    """A question with an answer and one without, and their windows."""
    text = "anna lives in rome and bob in oslo"
    start = text.index("rome")
    questions = (
        Question("0", "where?", text, ("rome",), (start,)),
        Question("1", "why?", text, (), ()),
    )
    words = Tokenizer.train_words([text, "where? why?"], 30)
    return questions, question_windows(questions, words, 32, max_question=8, stride=9)


def test_pretraining_leaves_what_the_contract_names(pretrained):
    out, summary = pretrained
    assert summary == json.loads((out / "summary.json").read_text())
    assert {"val_mlm_loss", "val_nsp_accuracy", "tokens_per_second"} <= set(summary)
    assert 4 < summary["unigram_loss"] < summary["val_mlm_loss"] < 7
    assert summary["steps"] == 2
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert BertPretrainer.from_preset(out / "preset").tokenizer is not None
    assert "filled_masks" in (out / "index.html").read_text("utf-8")


def test_a_text_without_blank_lines(tmp_path):
    (tmp_path / "text.txt").write_text("The cat sat. It was big.\n" * 500)
    config = replace(PRETRAIN, dataset="text", data_dir=tmp_path, out=tmp_path)
    with pytest.raises(ValueError, match="train part of 'text'.* end at blank lines"):
        bert_pretrain.main(config)


@pytest.mark.slow
def test_pmi_masking(tmp_path):
    config = replace(bert_pretrain.VARIANTS["pmi"], smoke=True, out=tmp_path)
    assert 4 < bert_pretrain.main(config)["val_mlm_loss"] < 7


@pytest.mark.slow
def test_electra_leaves_an_encoder(tmp_path):
    config = bert_pretrain.VARIANTS["electra"]
    summary = bert_pretrain.main(replace(config, smoke=True, out=tmp_path))
    assert {"val_mlm_loss", "val_rtd_loss", "val_rtd_accuracy"} <= set(summary)
    assert 0.05 < summary["val_replaced"] < 0.2
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert BertClassifier.from_preset(tmp_path / "preset").tokenizer is not None


@pytest.mark.slow
def test_distillation_leaves_a_student(pretrained, tmp_path):
    teacher = BertPretrainer.from_preset(pretrained[0] / "preset")
    deeper = BertPretrainer(replace(teacher.config, num_layers=2))
    deeper.tokenizer = teacher.tokenizer
    deeper.save_to_preset(tmp_path / "teacher")
    config = replace(PRETRAIN, teacher=tmp_path / "teacher", out=tmp_path / "run")
    summary = bert_pretrain.main(config)
    assert {"val_soft_loss", "val_mlm_loss", "val_cosine_loss"} <= set(summary)
    student = BertPretrainer.from_preset(tmp_path / "run" / "preset")
    assert (student.config.num_layers, student.next_sentence) == (1, None)
    assert student.tokenizer == teacher.tokenizer
    with pytest.raises(ValueError, match="--teacher cannot be combined"):
        bert_pretrain.main(replace(config, electra=True))


@pytest.mark.slow
def test_pretraining_resumes(pretrained, tmp_path, monkeypatch):
    config = replace(PRETRAIN, out=tmp_path)
    stopped_at_checkpoint(monkeypatch, bert_pretrain.main, config)
    bert_pretrain.main(replace(config, resume=True))
    assert_same_run(tmp_path, pretrained[0])


def test_fine_tuning_starts_from_it(finetuned):
    out, summary = finetuned
    assert summary == json.loads((out / "summary.json").read_text())
    assert 0.5 <= summary["majority_accuracy"] <= 1
    assert 0.5 <= summary["probe_accuracy"] <= 1
    lines = (out / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    scores = [row["val_accuracy"] for row in rows]
    assert summary["best_val_accuracy"] == max(scores)
    last_best = max(range(len(scores)), key=lambda epoch: (scores[epoch], epoch))
    assert summary["best_epoch"] == last_best + 1
    assert BertClassifier.from_preset(out / "preset").class_names == ("no", "yes")
    page = (out / "index.html").read_text("utf-8")
    assert len(re.findall(r"→ (?:yes|no) \(0\.\d\d\)", page)) == 8


def test_fine_tuning_starts_from_a_head_for_other_classes(finetuned, tmp_path, caplog):
    rows = [(f"{word} of words", word) for word in ("one", "two", "three") * 4]
    parts = [("sentence", "label"), *rows]
    config = table(tmp_path, train=parts, dev=parts)
    columns = {"text_column": "sentence", "label_column": "label"}
    encoder = str(finetuned[0] / "preset")  # of two classes
    bert_finetune.main(replace(config, encoder=encoder, **columns))
    assert "no weights for classifier/bias, classifier/kernel of" in caplog.text
    tuned = BertClassifier.from_preset(tmp_path / "run" / "preset")
    assert tuned.class_names == ("one", "three", "two")


@pytest.mark.slow
def test_fine_tuning_resumes(pretrained, finetuned, tmp_path, monkeypatch):
    config = replace(FINETUNE, encoder=pretrained[0] / "preset", out=tmp_path)
    stopped_at_checkpoint(monkeypatch, bert_finetune.main, config)
    bert_finetune.main(replace(config, resume=True))
    assert_same_run(tmp_path, finetuned[0])


@pytest.mark.slow
def test_fine_tuning_with_lora_resumes(pretrained, tmp_path, monkeypatch):
    config = replace(
        FINETUNE,
        encoder=pretrained[0] / "preset",
        out=tmp_path / "whole",
        layer_decay=0.8,
        lora_rank=2,
        learning_rate=1e-3,
    )
    summary = bert_finetune.main(config)
    assert summary["trainable_parameters"] < summary["parameters"] / 5
    # The best epoch's preset is plain, and was read back for the test.
    assert BertClassifier.from_preset(tmp_path / "whole/preset").config.num_classes == 2
    config = replace(config, out=tmp_path / "resumed")
    stopped_at_checkpoint(monkeypatch, bert_finetune.main, config)
    bert_finetune.main(replace(config, resume=True))
    assert_same_run(tmp_path / "resumed", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("checkpoints", [pytest.param(3, marks=pytest.mark.slow), 4])
def test_resuming_keeps_patience_and_the_best_epoch(checkpoints, tmp_path, monkeypatch):
    """Also where it had ended, before it could say so."""

    def falling(model, examples, sequences):
        updates = int(engine().numpy(model.optimizer.iterations))
        return {"accuracy": [0.1, 0.5, 0.9, 0.4, 0.3, 0.2][updates]}

    monkeypatch.setattr(bert_tasks, "class_figures", falling)
    for part in ("train", "dev"):
        rows = [f"the {word}\t{index % 2}" for index, word in enumerate("abcdefgh")]
        (tmp_path / f"{part}.tsv").write_text("\n".join(rows) + "\n")
    config = replace(
        bert_finetune.Config(),
        dataset="tsv",
        data_dir=tmp_path,
        out=tmp_path / "whole",
        length=8,
        batch_size=8,  # one update an epoch
        epochs=5,
        patience=2,
    )
    summary = bert_finetune.main(config)
    found = [summary[name] for name in ("best_epoch", "best_val_accuracy", "steps")]
    assert found == [2, 0.9, 4]
    config = replace(config, out=tmp_path / "resumed")
    stopped_at_checkpoint(monkeypatch, bert_finetune.main, config, checkpoints)
    summary = bert_finetune.main(replace(config, resume=True))
    assert (summary["best_epoch"], summary["steps"]) == (2, 4)
    assert_same_run(tmp_path / "resumed", tmp_path / "whole")
    whole, resumed = (
        load_file(tmp_path / run / "preset/model.safetensors")
        for run in ("whole", "resumed")
    )
    assert all(np.array_equal(array, resumed[name]) for name, array in whole.items())


def test_gaps_are_filled(pretrained, capsys):
    preset = pretrained[0] / "preset"
    found = fill_mask(BertPretrainer.from_preset(preset), "a [MASK] is [MASK]", 3)
    assert [len(tokens) for tokens in found] == [3, 3]
    for tokens in found:
        shares = [share for _, share in tokens]
        assert shares == sorted(shares, reverse=True) and 0 < sum(shares) < 1
    bert_fill_mask.run(FillMaskConfig(str(preset), "a [MASK] is [MASK]"))
    assert capsys.readouterr().out.count("gap ") == 2
    with pytest.raises(ValueError, match=r"must contain \[MASK\], got 'a b'"):
        bert_fill_mask.run(FillMaskConfig(str(preset), "a b"))
    with pytest.raises(ValueError, match="top must be a whole number from 1 to"):
        bert_fill_mask.run(FillMaskConfig(str(preset), "a [MASK]", top=0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wikiann", "xquad"])
def test_other_tasks(kind, tmp_path):
    words = "Anna lives in Rome and Bob in Oslo".split()
    if kind == "wikiann":
        tags = "B-PER O O B-LOC O B-PER O B-LOC".split()
        lines = [f"en:{word}\t{tag}" for word, tag in zip(words, tags, strict=True)]
        for part in ("train", "dev", "test"):
            text = "\n\n".join(["\n".join(lines)] * 8)
            (tmp_path / f"{part}.conll").write_text(text)
    else:
        context = " ".join(words)
        start = context.index("Rome")
        entry = {"question": "Where is Anna?", "answers": []}
        entry["answers"].append({"text": "Rome", "answer_start": start})
        articles = [
            {"paragraphs": [{"context": context, "qas": [{**entry, "id": str(i)}]}]}
            for i in range(20)
        ]
        (tmp_path / "xquad.en.json").write_text(json.dumps({"data": articles}))
    config = replace(
        bert_finetune.VARIANTS[kind],
        data_dir=tmp_path,
        out=tmp_path / "run",
        epochs=12,
        length=32,
        stride=8,
        batch_size=8,
        learning_rate=5e-3,
        dropout=0.0,
    )
    summary = bert_finetune.main(config)
    assert summary["test_f1"] > (0.9 if kind == "wikiann" else 90)


def table(folder, **parts):
    for part, rows in parts.items():
        lines = ["\t".join(map(str, row)) for row in rows]
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n")
    return replace(FINETUNE, dataset="tsv", data_dir=folder, out=folder / "run")


def test_a_table_of_values(tmp_path, capsys):
    """By the names of its columns; the test part has none of the values, as GLUE's."""
    rows = [("id", "first", "score", "second")]
    rows += [(i, f"the {w}", 0.5 * i, "a mat") for i, w in enumerate("abcdefgh")]
    test = [("id", "first", "second"), (0, "the x", "a mat")]
    config = table(tmp_path, train=rows, dev=rows, test=test)
    columns = {"text_column": "first", "pair_column": "second", "label_column": "score"}
    summary = bert_finetune.main(replace(config, **columns, regression=True))
    assert -1 <= summary["best_val_pearson"] <= 1
    assert not any(name.startswith("test_pearson") for name in summary)
    assert "no labels: all figures are of the validation set" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--pair-column is for --dataset tsv, not for"):
        bert_finetune.main(replace(config, dataset="mrpc", pair_column="second"))
    with pytest.raises(ValueError, match="--language is for --dataset xquad, not for"):
        bert_finetune.main(replace(config, language="de"))


@pytest.mark.parametrize("kinds", [0, 1, 2])
def test_pairs_for_models_that_tell_no_segments_apart(kinds, pretrained, tmp_path):
    """RoBERTa's and DistilBERT's."""
    config = BertConfig(400, 32, 1, 2, 16, num_segments=kinds, pooler=False)
    encoder = BertBackbone(config)
    encoder.tokenizer = BertPretrainer.from_preset(pretrained[0] / "preset").tokenizer
    encoder.save_to_preset(tmp_path / "encoder")
    rows = [(f"the {word}", i % 2, "a mat") for i, word in enumerate("abcdefgh")]
    config = table(tmp_path, train=rows, dev=rows, test=rows)
    config = replace(config, encoder=tmp_path / "encoder", pair_column=2)
    data = bert_finetune.examples_of(config)
    task = bert_finetune.task_of(config, data, encoder.tokenizer)
    inputs, _ = task.sequences(data.test).batch(np.arange(8))
    assert inputs["segment_ids"].max() == max(kinds - 1, 0)
    model = task.model()
    assert task.metrics(model, data.test, task.sequences(data.test))["accuracy"] <= 1


def test_questions_without_answers(words_of_questions):
    """As in SQuAD 2.0: none where [CLS] scores higher, and the best threshold."""
    questions, windows = words_of_questions

    class Certain:
        """Finds every answer; of a question without one it is in doubt."""

        def predict_logits(self, inputs):
            shape = inputs["token_ids"].shape
            found = {name: np.zeros(shape) for name in ("start_logits", "end_logits")}
            for row, ids in enumerate(inputs["token_ids"]):
                none = windows.tokenizer.decode(ids).startswith("[CLS] why")
                places = (0, 0) if none else windows.positions[0]
                for logits, place in zip(found.values(), places, strict=True):
                    logits[row, place] = 0.5 if none else 4.0
                found["start_logits"][row, 5] += 1.5 * none
            return found

    found = answer_figures(Certain(), questions, windows)
    assert found["has_answer/f1"] == 100
    assert found["no_answer/f1"] == 0 and found["f1"] == 50
    assert found["best_f1"] == found["best_exact_match"] == 100
    assert -8 <= found["best_f1_threshold"] < 0.5


def test_variants():
    config = parse(bert_pretrain.VARIANTS, "", ["--variant", "order", "--steps", "9"])
    assert (config.sentences, config.steps) == ("order", 9)
    config = parse(bert_finetune.VARIANTS, "", ["--variant", "xquad"])
    assert (config.dataset, config.length) == ("xquad", 256)
