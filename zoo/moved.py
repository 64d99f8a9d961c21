"""Old names of modules, classes and arguments, which still work but warn.

Modules moved when the packages were ordered by floors. These names go in 0.3.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

MOVED = {
    "zoo.data.added_tokens": "zoo.tokenizers.added_tokens",
    "zoo.data.animal_sentences": "zoo.data.translation.animal_sentences",
    "zoo.data.atomic_files": "zoo.files.atomic",
    "zoo.data.binary_files": "zoo.files.binary",
    "zoo.data.checked_reads": "zoo.files.checked_reads",
    "zoo.data.conll": "zoo.data.tasks.conll",
    "zoo.data.crops": "zoo.data.text.crops",
    "zoo.data.damaged": "zoo.files.damaged",
    "zoo.data.documents": "zoo.data.text.documents",
    "zoo.data.downloads": "zoo.files.downloads",
    "zoo.data.idx": "zoo.data.images.idx",
    "zoo.data.image_batches": "zoo.data.images.batches",
    "zoo.data.json_files": "zoo.files.json_files",
    "zoo.data.limits": "zoo.files.limits",
    "zoo.data.masked_batches": "zoo.data.pretraining.masked_batches",
    "zoo.data.masking": "zoo.data.pretraining.masking",
    "zoo.data.ngrams": "zoo.data.text.ngrams",
    "zoo.data.outlines": "zoo.data.images.outlines",
    "zoo.data.pair_batches": "zoo.data.translation.batches",
    "zoo.data.pairs": "zoo.data.pretraining.sentence_pairs",
    "zoo.data.parallel": "zoo.data.translation.parallel_texts",
    "zoo.data.picture_files": "zoo.data.images.picture_files",
    "zoo.data.pictures": "zoo.data.images.pictures",
    "zoo.data.pmi": "zoo.data.pretraining.pmi",
    "zoo.data.questions": "zoo.data.tasks.questions",
    "zoo.data.sequences": "zoo.data.text.sequences",
    "zoo.data.spelling": "zoo.data.tasks.spelling",
    "zoo.data.squad": "zoo.data.tasks.squad",
    "zoo.data.streams": "zoo.data.text.streams",
    "zoo.data.surrogates": "zoo.files.surrogates",
    "zoo.data.tag_paths": "zoo.data.tasks.tag_paths",
    "zoo.data.task_sequences": "zoo.data.tasks.sequences",
    "zoo.data.text_batches": "zoo.data.text.batches",
    "zoo.data.text_files": "zoo.files.text_files",
    "zoo.data.token_files": "zoo.data.text.token_files",
    "zoo.data.token_pairs": "zoo.data.translation.token_pairs",
    "zoo.data.tokenizers": "zoo.tokenizers.tokenizer",
    "zoo.data.tsv": "zoo.data.tasks.tsv",
    "zoo.data.unpaired": "zoo.data.images.unpaired",
    "zoo.data.wordpiece": "zoo.tokenizers.wordpiece",
    "zoo.distribution.batches": "zoo.engine.batches",
    "zoo.distribution.layout": "zoo.engine.layout",
    "zoo.distribution.tensorflow_devices": "zoo.engine.tensorflow.devices",
    "zoo.evaluation.annealed": "zoo.likelihood.annealed",
    "zoo.evaluation.answers": "zoo.evaluation.text.answers",
    "zoo.evaluation.feature_arrays": "zoo.evaluation.images.feature_arrays",
    "zoo.evaluation.features": "zoo.evaluation.images.features",
    "zoo.evaluation.fidelity": "zoo.evaluation.images.fidelity",
    "zoo.evaluation.frechet": "zoo.evaluation.images.frechet",
    "zoo.evaluation.importance": "zoo.likelihood.importance",
    "zoo.evaluation.judged": "zoo.evaluation.images.judged",
    "zoo.evaluation.kernel_mmd": "zoo.evaluation.images.kernel_mmd",
    "zoo.evaluation.language": "zoo.evaluation.text.language",
    "zoo.evaluation.manifolds": "zoo.evaluation.images.manifolds",
    "zoo.evaluation.masked_text": "zoo.evaluation.text.masked_text",
    "zoo.evaluation.modes": "zoo.evaluation.images.modes",
    "zoo.evaluation.neighbours": "zoo.evaluation.images.neighbours",
    "zoo.evaluation.parzen": "zoo.likelihood.parzen",
    "zoo.evaluation.pictures": "zoo.evaluation.images.pictures",
    "zoo.evaluation.probes": "zoo.evaluation.text.probes",
    "zoo.evaluation.samples": "zoo.evaluation.images.samples",
    "zoo.evaluation.tagging": "zoo.evaluation.text.tagging",
    "zoo.evaluation.translation": "zoo.evaluation.text.translation",
    "zoo.generation.fill_mask": "zoo.models.bert.fill_mask",
    "zoo.layers.carried_state": "zoo.layers.recurrent.carried_state",
    "zoo.layers.coders": "zoo.layers.convolution.coders",
    "zoo.layers.gaussian": "zoo.layers.latent.gaussian",
    "zoo.layers.history": "zoo.layers.convolution.history",
    "zoo.layers.image_format": "zoo.layers.convolution.image_format",
    "zoo.layers.observations": "zoo.layers.latent.observations",
    "zoo.layers.padding": "zoo.layers.convolution.padding",
    "zoo.layers.relative": "zoo.layers.attention.relative",
    "zoo.layers.residual": "zoo.layers.convolution.residual",
    "zoo.layers.sliding": "zoo.layers.attention.sliding",
    "zoo.layers.spectral_norm": "zoo.layers.convolution.spectral_norm",
    "zoo.layers.transformer": "zoo.layers.attention.transformer",
    "zoo.layers.vector_quantizer": "zoo.layers.latent.vector_quantizer",
    "zoo.layers.warmup": "zoo.layers.latent.warmup",
    "zoo.models.autoencoder": "zoo.models.autoencoders.autoencoder",
    "zoo.models.bert_pretrainer": "zoo.models.bert.pretrainer",
    "zoo.models.bert_tasks": "zoo.models.bert.tasks",
    "zoo.models.class_names": "zoo.configs.class_names",
    "zoo.models.classifier": "zoo.models.image_classifier",
    "zoo.models.config_checks": "zoo.configs.checks",
    "zoo.models.cyclegan": "zoo.models.gan.cyclegan",
    "zoo.models.dcgan": "zoo.models.gan.dcgan",
    "zoo.models.distiller": "zoo.models.bert.distiller",
    "zoo.models.electra": "zoo.models.bert.electra",
    "zoo.models.elmo": "zoo.models.language.elmo",
    "zoo.models.gpt": "zoo.models.language.gpt",
    "zoo.models.language_model": "zoo.models.language.language_model",
    "zoo.models.linear": "zoo.models.language.linear",
    "zoo.models.ngram": "zoo.models.language.ngram",
    "zoo.models.recurrent": "zoo.models.language.recurrent",
    "zoo.models.self_attention": "zoo.models.language.self_attention",
    "zoo.models.smoothing": "zoo.models.language.smoothing",
    "zoo.models.token_ids": "zoo.training.checks.token_ids",
    "zoo.models.transformer": "zoo.models.language.transformer",
    "zoo.models.vae": "zoo.models.autoencoders.vae",
    "zoo.models.vqvae": "zoo.models.autoencoders.vqvae",
    "zoo.planning.activations": "zoo.planning.step_memory",
    "zoo.presets.activations": "zoo.formats.huggingface.activation_names",
    "zoo.presets.bert_layout": "zoo.formats.huggingface.bert_layout",
    "zoo.presets.bert_options": "zoo.formats.huggingface.bert_options",
    "zoo.presets.convert_bert": "zoo.formats.huggingface.bert",
    "zoo.presets.convert_cyclegan": "zoo.formats.authors.cyclegan",
    "zoo.presets.convert_gpt2": "zoo.formats.huggingface.gpt2",
    "zoo.presets.hub": "zoo.store.hub",
    "zoo.presets.keras_hub": "zoo.formats.keras_hub.reading",
    "zoo.presets.keras_hub_layout": "zoo.formats.keras_hub.layout",
    "zoo.presets.keras_hub_tokenizers": "zoo.formats.keras_hub.tokenizers",
    "zoo.presets.keras_hub_writing": "zoo.formats.keras_hub.writing",
    "zoo.presets.manifest": "zoo.store.manifest",
    "zoo.presets.names": "zoo.store.names",
    "zoo.presets.options": "zoo.formats.huggingface.options",
    "zoo.presets.stored_arrays": "zoo.files.stored_arrays",
    "zoo.presets.tensorflow_bert": "zoo.formats.authors.bert",
    "zoo.presets.tensorflow_files": "zoo.files.tensorflow_files",
    "zoo.presets.torch_files": "zoo.files.torch_files",
    "zoo.training.averages": "zoo.training.optimizers.averages",
    "zoo.training.checked_data": "zoo.training.checks.checked_data",
    "zoo.training.checkpoint": "zoo.training.runs.checkpoint",
    "zoo.training.collapse": "zoo.training.adversarial.collapse",
    "zoo.training.configurations": "zoo.configs.made",
    "zoo.training.engine_jax": "zoo.engine.jax.engine",
    "zoo.training.engine_jax_state": "zoo.engine.jax.state",
    "zoo.training.engine_tensorflow": "zoo.engine.tensorflow.engine",
    "zoo.training.engine_torch": "zoo.engine.torch.engine",
    "zoo.training.engine_torch_graph": "zoo.engine.torch.graph",
    "zoo.training.engine_torch_recurrent": "zoo.engine.torch.recurrent",
    "zoo.training.example_weights": "zoo.training.checks.example_weights",
    "zoo.training.frozen_layers": "zoo.layers.frozen_layers",
    "zoo.training.hold": "zoo.training.runs.hold",
    "zoo.training.host_memory": "zoo.engine.host_memory",
    "zoo.training.interrupts": "zoo.engine.interrupts",
    "zoo.training.kept_tokenizer": "zoo.training.saving.kept_tokenizer",
    "zoo.training.launch": "zoo.training.runs.launch",
    "zoo.training.layer_rates": "zoo.training.finetuning.layer_rates",
    "zoo.training.lora": "zoo.training.finetuning.lora",
    "zoo.training.loss_scale": "zoo.training.optimizers.loss_scale",
    "zoo.training.optimizer_group": "zoo.training.optimizers.group",
    "zoo.training.optional": "zoo.extras",
    "zoo.training.output": "zoo.training.runs.output",
    "zoo.training.plain_attention": "zoo.engine.plain_attention",
    "zoo.training.ranges": "zoo.training.checks.ranges",
    "zoo.training.refusals": "zoo.training.checks.refusals",
    "zoo.training.run": "zoo.training.runs.run",
    "zoo.training.schedules": "zoo.training.optimizers.schedules",
    "zoo.training.settings": "zoo.training.runs.settings",
    "zoo.training.unsaved_layers": "zoo.training.saving.unsaved_layers",
}

# Classes: the module of each, and its new name there.
RENAMED = {
    "Translator": ("zoo.models.gan.cyclegan", "CycleGANGenerator"),
    "TranslatorConfig": ("zoo.models.gan.cyclegan", "CycleGANGeneratorConfig"),
}


def renamed(name: str) -> object:
    """The class that used to have this name, for a module's `__getattr__`.

    Raises:
        AttributeError: no class had this name.
    """
    if name not in RENAMED:
        raise AttributeError(f"There is no {name!r}.")
    module, new = RENAMED[name]
    warnings.warn(
        f"zoo.{name} is now zoo.{new}; its old name goes in 0.3.",
        DeprecationWarning,
        stacklevel=3,
    )
    return getattr(importlib.import_module(module), new)


def old_arguments(
    first: str, *positional: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a method to accept its arguments from before 0.2, with a warning.

    Args:
        first: the old name of its first argument.
        *positional: keyword-only arguments that could follow it by position.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        import inspect

        call: Any = method
        _, new, *_ = inspect.signature(method).parameters

        arguments = ", ".join((new, *(f"{name}=..." for name in positional)))

        @functools.wraps(method)
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            given = dict(zip(positional, args[1:], strict=False))
            is_old = bool(given) and not given.keys() & kwargs.keys()
            if is_old:
                args = (args[0], *args[1 + len(given) :])
                kwargs |= given
            if first in kwargs and not args:
                args, is_old = (kwargs.pop(first),), True
            if is_old:
                warnings.warn(
                    f"Call it as {method.__name__}({arguments}); its old arguments go "
                    "in 0.3.",
                    DeprecationWarning,
                    stacklevel=2,
                )
            return call(self, *args, **kwargs)

        return wrapped  # type: ignore[return-value]

    return decorate


class _Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules by their old names."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """A spec for a moved module; None for any other."""
        del path, target
        if fullname == "zoo.training.engine":
            # As a module it would hide the function `zoo.training.engine`.
            raise ModuleNotFoundError(
                "zoo.training.engine is now zoo.engine.", name=fullname
            )
        if fullname not in MOVED:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Imports the module from its new place, with a warning."""
        warnings.warn(
            f"{spec.name} is now {MOVED[spec.name]}; its old name goes in 0.3.",
            DeprecationWarning,
            stacklevel=2,
        )
        module = importlib.import_module(MOVED[spec.name])
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restores the module's own spec, which Python has replaced."""
        module.__spec__ = self._own_spec


def announce() -> None:
    """Makes moved modules importable by their old names."""
    sys.meta_path.append(_Moved())
