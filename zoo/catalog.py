"""Which models there are and where, told without importing any of them.

Each model registers itself beside its class (`zoo.presets.registration`); this table
is what `import zoo`, `zoo list` and files need to know before that. A test holds it
against the registrations.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A model, by the name of its class.

    Attributes:
        module: where the class is.
        config: the name of its configuration, where zoo offers it.
        presets: the names of its configurations by size.
        helpers: other names of the module that zoo offers.
        parts: layers of the module that Keras's files name.
        forms: how it is saved: "preset", "keras" or both.
        papers: keys of `store/papers.bib`, or BibTeX entries: what `zoo cite` prints.
        task: what it does, in the words of the Hugging Face hub's `pipeline_tag`.
    """

    module: str
    config: str = ""
    presets: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    forms: tuple[str, ...] = ("preset", "keras")
    papers: tuple[str, ...] = ()
    task: str = ""


_BERTS = (
    "devlin2019bert",
    "turc2019well",
    "liu2019roberta",
    "lan2020albert",
    "clark2020electra",
    "sanh2019distilbert",
)

# Of models that share a configuration, the first is the one it stands for.
MODELS = {
    "GPT": Entry(
        "zoo.models.language.gpt",
        config="GPTConfig",
        presets=(
            "gpt1",
            "gpt2",
            "gpt2_medium",
            "gpt2_large",
            "gpt2_xl",
            "gpt3_125m",
            "gpt3_350m",
            "gpt3_760m",
            "gpt3_1_3b",
            "gpt3_2_7b",
            "gpt3_6_7b",
            "gpt3_13b",
            "gpt3_175b",
            "gpt_neox_20b",
            "palm_8b",
            "palm_62b",
            "palm_540b",
            "chinchilla_70b",
            "llama_7b",
            "llama_13b",
            "llama_33b",
            "llama_65b",
            "llama2_7b",
            "llama2_13b",
            "llama2_70b",
            "llama3_8b",
            "llama3_70b",
            "llama3_1_8b",
            "llama3_1_405b",
            "llama3_2_1b",
            "llama3_2_3b",
            "mistral_7b",
            "qwen2_0_5b",
            "qwen2_1_5b",
            "qwen2_7b",
            "qwen2_72b",
            "qwen3_0_6b",
            "qwen3_1_7b",
            "qwen3_4b",
            "qwen3_8b",
            "qwen3_14b",
            "qwen3_32b",
            "smollm2_135m",
            "smollm2_360m",
            "smollm2_1_7b",
        ),
        papers=(
            "radford2018improving",
            "radford2019language",
            "brown2020language",
            "black2022gpt",
            "chowdhery2022palm",
            "hoffmann2022training",
            "touvron2023llama",
            "touvron2023llama2",
            "grattafiori2024llama",
            "jiang2023mistral",
            "yang2024qwen2",
            "yang2025qwen3",
            "allal2025smollm2",
        ),
        task="text-generation",
    ),
    "LinearLM": Entry(
        "zoo.models.language.linear",
        config="LinearLMConfig",
        papers=("mikolov2013efficient", "joulin2017bag"),
        task="text-generation",
    ),
    "NgramLM": Entry(
        "zoo.models.language.ngram",
        config="NgramConfig",
        forms=("preset",),
        papers=("shannon1948mathematical", "chen1999empirical"),
        task="text-generation",
    ),
    "RecurrentLM": Entry(
        "zoo.models.language.recurrent",
        config="RecurrentLMConfig",
        presets=("lstm_ptb_medium", "lstm_ptb_large"),
        papers=("mikolov2010recurrent", "zaremba2014recurrent"),
        task="text-generation",
    ),
    "ELMo": Entry(
        "zoo.models.language.elmo",
        config="ELMoConfig",
        parts=("BidirectionalLSTM",),
        papers=("peters2018deep",),
        task="feature-extraction",
    ),
    "ELMoClassifier": Entry(
        "zoo.models.language.elmo",
        config="ELMoClassifierConfig",
        papers=("peters2018deep",),
        task="text-classification",
    ),
    "Transformer": Entry(
        "zoo.models.language.transformer",
        config="TransformerConfig",
        presets=("transformer_base", "transformer_big", "transformer_multi30k"),
        papers=("vaswani2017attention",),
        task="translation",
    ),
    "BertBackbone": Entry(
        "zoo.models.bert.backbone",
        config="BertConfig",
        presets=(
            "bert_tiny",
            "bert_mini",
            "bert_small",
            "bert_medium",
            "bert_base",
            "bert_large",
            "roberta_base",
            "albert_base",
            "electra_small",
            "distilbert_base",
        ),
        parts=("BertEncoder",),
        papers=_BERTS,
        task="feature-extraction",
    ),
    "BertPretrainer": Entry(
        "zoo.models.bert.pretrainer",
        parts=("MaskedLMHead",),
        papers=_BERTS,
        task="fill-mask",
    ),
    "Electra": Entry(
        "zoo.models.bert.electra",
        config="ElectraConfig",
        parts=("ElectraGenerator", "ReplacedTokenHead"),
        papers=("clark2020electra",),
        task="fill-mask",
    ),
    "BertClassifier": Entry(
        "zoo.models.bert.tasks",
        config="BertClassifierConfig",
        papers=_BERTS,
        task="text-classification",
    ),
    "BertTagger": Entry(
        "zoo.models.bert.tasks",
        config="BertTaggerConfig",
        papers=_BERTS,
        task="token-classification",
    ),
    "BertSpanQA": Entry(
        "zoo.models.bert.tasks",
        papers=_BERTS,
        task="question-answering",
    ),
    "SelfAttentionClassifier": Entry(
        "zoo.models.language.self_attention",
        config="SelfAttentionClassifierConfig",
        parts=("SimpleSelfAttention",),
        papers=("bloem2019transformers", "vaswani2017attention"),
        task="text-classification",
    ),
    "Autoencoder": Entry(
        "zoo.models.autoencoders.autoencoder",
        config="AutoencoderConfig",
        presets=("autoencoder_mlp", "autoencoder_convolutional"),
        papers=("hinton2006reducing",),
        task="image-feature-extraction",
    ),
    "VAE": Entry(
        "zoo.models.autoencoders.vae",
        config="VAEConfig",
        presets=("vae_mlp", "vae_convolutional", "vae_convolutional_64"),
        papers=("kingma2014auto", "burda2016importance", "higgins2017beta"),
        task="unconditional-image-generation",
    ),
    "VQVAE": Entry(
        "zoo.models.autoencoders.vqvae",
        config="VQVAEConfig",
        presets=("vqvae_8", "vqvae_28", "vqvae_32"),
        papers=("oord2017neural",),
        task="image-feature-extraction",
    ),
    "ImageTokens": Entry(
        "zoo.models.image_tokens",
        helpers=("LabelPrefix", "TextPrefix"),
        forms=("preset",),
        papers=("oord2017neural", "ramesh2021zero"),
        task="text-to-image",
    ),
    "ImageClassifier": Entry(
        "zoo.models.image_classifier",
        config="ImageClassifierConfig",
        presets=("classifier_8", "classifier_28", "classifier_32"),
        papers=("lecun1998gradient", "ioffe2015batch"),
        task="image-classification",
    ),
    "DCGAN": Entry(
        "zoo.models.gan.dcgan",
        config="DCGANConfig",
        presets=("dcgan_28", "dcgan_32", "dcgan_64"),
        parts=("DCGANDiscriminator", "DCGANGenerator"),
        papers=("goodfellow2014generative", "radford2016unsupervised"),
        task="unconditional-image-generation",
    ),
    "Diffusion": Entry(
        "zoo.models.diffusion.diffusion",
        config="DiffusionConfig",
        presets=("diffusion_8", "diffusion_28", "ddpm_32", "dit_small_32", "edm_32"),
        papers=(
            "ho2020denoising",
            "song2021score",
            "karras2022elucidating",
            "lipman2023flow",
            "ho2022classifier",
        ),
        task="unconditional-image-generation",
    ),
    "CycleGAN": Entry(
        "zoo.models.gan.cyclegan",
        config="CycleGANConfig",
        presets=("cyclegan_32", "cyclegan_128", "cyclegan_256"),
        papers=("zhu2017unpaired",),
        task="image-to-image",
    ),
    "CycleGANGenerator": Entry(
        "zoo.models.gan.cyclegan_generator",
        config="CycleGANGeneratorConfig",
        parts=("Translator",),
        papers=("zhu2017unpaired",),
        task="image-to-image",
    ),
    "NormalizingFlow": Entry(
        "zoo.models.flows.flow",
        config="NormalizingFlowConfig",
        presets=(
            "flow_simple_28",
            "flow_variational_28",
            "flow_multiscale_28",
            "realnvp_32",
            "glow_32",
        ),
        papers=(
            "dinh2017density",
            "kingma2018glow",
            "ho2019flow",
            "durkan2019neural",
        ),
        task="unconditional-image-generation",
    ),
    "Distiller": Entry(
        "zoo.models.bert.distiller",
        forms=("keras",),
        papers=("sanh2019distilbert",),
        task="fill-mask",
    ),
}


def architectures() -> list[str]:
    """The models that a preset may be of."""
    return [name for name, entry in MODELS.items() if "preset" in entry.forms]


def presets() -> dict[str, tuple[str, ...]]:
    """The names of the configurations by size, by model."""
    return {name: entry.presets for name, entry in MODELS.items() if entry.presets}


def homes() -> dict[str, str]:
    """The module of each name of a model's that zoo offers."""
    return {
        offered: entry.module
        for name, entry in MODELS.items()
        for offered in (name, entry.config, *entry.helpers)
        if offered
    }


def serialised() -> dict[str, tuple[str, ...]]:
    """The classes that Keras's files name, by module."""
    found: dict[str, tuple[str, ...]] = {}
    for name, entry in MODELS.items():
        own = (name,) if "keras" in entry.forms else ()
        if own or entry.parts:
            found[entry.module] = (*found.get(entry.module, ()), *own, *entry.parts)
    return found
