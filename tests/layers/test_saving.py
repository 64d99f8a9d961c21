"""Every layer, saved, loaded and cloned; a layer without a case here fails."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from zoo import layers
from zoo.layers.dense import HeadsDense
from zoo.layers.initializers import Normal
from zoo.layers.invertible.actnorm import ActNorm
from zoo.layers.invertible.bijection import Bijection
from zoo.layers.invertible.coupling import Coupling
from zoo.layers.invertible.mixing import Mixing
from zoo.layers.invertible.multiscale import Multiscale
from zoo.layers.invertible.networks import CouplingNetwork, GatedBlock, ReluBlock
from zoo.layers.invertible.squeeze import Squeeze
from zoo.layers.latent.dequantization import VariationalDequantization
from zoo.layers.latent.gaussian import DiagonalGaussian
from zoo.layers.latent.warmup import Warmup
from zoo.layers.layer import Layer
from zoo.layers.recurrent.carried_state import CarriedState
from zoo.layers.recurrent.cells import Recurrent
from zoo.models.bert import backbone as bert
from zoo.models.bert import electra
from zoo.models.bert import pretrainer as bert_pretrainer
from zoo.models.diffusion import conditions
from zoo.models.diffusion.dit import DiT, DiTConfig
from zoo.models.diffusion.unet import UNet, UNetConfig
from zoo.models.gan import cyclegan_networks, dcgan
from zoo.models.language import elmo
from zoo.models.language.self_attention import SimpleSelfAttention

TOLERANCE = 1e-6
# What others are made from.
ABSTRACT = {Bijection, Layer, Recurrent}
B, T, D = 2, 4, 8
BERT = zoo.BertConfig(11, 6, 2, 2, D)
GAN = zoo.DCGANConfig(image_shape=(8, 8, 1), latent_dim=4, width=4, num_classes=3)


def called(layer, *inputs):
    return layer(*inputs)


class Case(NamedTuple):
    """How a layer is made and used.

    `functional` layers stand in a functional model, others in a subclassed one.
    """

    make: Callable[[], keras.Layer]
    inputs: tuple[Any, ...] = ()
    run: Callable[..., Any] = called
    functional: bool = True


DIT = DiTConfig((4, 4, 1), None, 2, 4, 1, 1, 2, condition_dim=3)
UNET = UNetConfig((4, 4, 1), None, 4, (1, 2), 1, (2,), 2, 2, condition_dim=3)

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.normal(size=shape).astype("float32")


def ids(limit, *shape):
    return rng.integers(limit, size=shape).astype("int32")


TOKENS, PICTURES, QUERIES = normal(B, T, D), normal(B, 8, 8, 3), normal(B, T, 2, 4)
UNIFORM = rng.uniform(size=PICTURES.shape).astype("float32")
TEXTS = {"token_ids": ids(11, B, T), "padding_mask": np.ones((B, T), "int32")}


def of_queries(layer, queries):
    return layer(queries, num_keys=T)


def mlm_head(layer, x):
    table = layers.TokenEmbedding(11, D, "ones")
    table.build()
    return layer(x, embedding=table)


def kept(layer):
    return layer.before()["states"]


def counted(layer):
    return ops.convert_to_tensor(layer.count)


def electra_generator():
    return electra.Generator(BERT, bert.BertEncoder(BERT))


CASES: dict[type, Case] = {
    layers.AdaptiveBlock: Case(
        lambda: layers.AdaptiveBlock(2, D, 6), (TOKENS, normal(B, 3))
    ),
    layers.AdaptiveNorm: Case(
        lambda: layers.AdaptiveNorm(D, True, 0.1), (TOKENS, normal(B, 3))
    ),
    layers.BatchNorm: Case(lambda: layers.BatchNorm(momentum=0.5), (PICTURES,)),
    layers.CharacterConvolutions: Case(
        lambda: layers.CharacterConvolutions(9, (2, 3), 4, 1, D), (ids(9, B, T, 5),)
    ),
    conditions.ClassCondition: Case(
        lambda: conditions.ClassCondition(3, D), (ids(4, B),)
    ),
    conditions.TextCondition: Case(
        lambda: conditions.TextCondition(9, T, D, 1, 2), (ids(10, B, T),)
    ),
    layers.Convolution: Case(
        lambda: layers.Convolution(4, 3, 2, "same", activation="tanh"), (PICTURES,)
    ),
    CarriedState: Case(lambda: CarriedState(B, D), run=kept, functional=False),
    layers.Dense: Case(lambda: layers.Dense(3, activation="tanh"), (TOKENS,)),
    HeadsDense: Case(lambda: HeadsDense(("query", "key"), 2, 4), (TOKENS,)),
    ActNorm: Case(ActNorm, (PICTURES,)),
    Coupling: Case(
        lambda: Coupling("halves", True, hidden=3, num_blocks=1, num_bins=2),
        (PICTURES,),
    ),
    CouplingNetwork: Case(lambda: CouplingNetwork(2, "gated", 3, 1), (PICTURES,)),
    GatedBlock: Case(lambda: GatedBlock(3), (PICTURES,)),
    Mixing: Case(lambda: Mixing(seed=1), (PICTURES,)),
    Multiscale: Case(lambda: Multiscale([[Squeeze(), ActNorm()], []]), (PICTURES,)),
    ReluBlock: Case(lambda: ReluBlock(3), (PICTURES,)),
    Squeeze: Case(Squeeze, (PICTURES,)),
    VariationalDequantization: Case(
        lambda: VariationalDequantization(2, True, "plain", 3, 1),
        (UNIFORM, PICTURES),
    ),
    DiagonalGaussian: Case(lambda: DiagonalGaussian(3), (TOKENS,)),
    layers.Downsampling: Case(lambda: layers.Downsampling(2), (PICTURES,)),
    layers.Dropout: Case(lambda: layers.Dropout(0.5, seed=1), (TOKENS,)),
    layers.Elman: Case(lambda: layers.Elman(3, backward=True), (TOKENS,)),
    layers.GRU: Case(lambda: layers.GRU(3), (TOKENS,)),
    layers.LSTM: Case(lambda: layers.LSTM(3), (TOKENS,)),
    layers.FeedForward: Case(
        lambda: layers.FeedForward(
            D,
            6,
            activation="gelu_tanh",
            dropout=0.1,
            initializer=Normal(0.5),
            output_initializer=keras.initializers.RandomUniform(-1, 1),
        ),
        (TOKENS,),
    ),
    layers.GroupNorm: Case(
        lambda: layers.GroupNorm(3, 0.1, "channels_first"), (normal(B, 6, 4, 4),)
    ),
    layers.Highway: Case(lambda: layers.Highway(D), (TOKENS,)),
    layers.ImageAttention: Case(
        lambda: layers.ImageAttention(1, 3, groups=3), (PICTURES,)
    ),
    layers.ImageHistory: Case(
        lambda: layers.ImageHistory(3, (8, 8, 3)),
        (PICTURES, np.array([0, -1], "int32"), np.array([-1, 1], "int32")),
    ),
    layers.InstanceNorm: Case(lambda: layers.InstanceNorm(0.1), (PICTURES,)),
    layers.LayerNorm: Case(lambda: layers.LayerNorm(epsilon=0.1), (TOKENS,)),
    layers.LearnedPositions: Case(
        lambda: layers.LearnedPositions(6, D, Normal(1.0)), (TOKENS,)
    ),
    layers.MultiHeadAttention: Case(
        lambda: layers.MultiHeadAttention(2, D, cross=True, use_bias=False),
        (TOKENS, normal(B, 5, D)),
    ),
    layers.RMSNorm: Case(lambda: layers.RMSNorm(epsilon=0.1), (TOKENS,)),
    layers.ReflectionPadding: Case(lambda: layers.ReflectionPadding(2), (PICTURES,)),
    layers.ResidualBlock: Case(lambda: layers.ResidualBlock(3), (PICTURES,)),
    layers.ScalarMix: Case(lambda: layers.ScalarMix(B), (TOKENS,)),
    layers.SinusoidalPositions: Case(
        lambda: layers.SinusoidalPositions(6, D), (TOKENS,)
    ),
    layers.SpectralNorm: Case(
        lambda: layers.SpectralNorm(layers.Dense(3, use_bias=False)), (TOKENS,)
    ),
    layers.T5Bias: Case(
        lambda: layers.T5Bias(2, causal=True, num_buckets=4, max_distance=6),
        (QUERIES,),
        of_queries,
    ),
    layers.TransformerXLPositions: Case(
        lambda: layers.TransformerXLPositions(2, D, initializer=Normal(1.0)),
        (QUERIES,),
        of_queries,
    ),
    layers.TimedResidualBlock: Case(
        lambda: layers.TimedResidualBlock(
            4, groups=1, scale_shift=False, dropout=0.1, dtype="float32"
        ),
        (PICTURES, normal(B, D)),
    ),
    layers.TimeEmbedding: Case(
        lambda: layers.TimeEmbedding(4, D, "fourier", 2.0), (normal(B),)
    ),
    layers.TokenEmbedding: Case(
        lambda: layers.TokenEmbedding(11, D, "uniform"), (TEXTS["token_ids"],)
    ),
    layers.TransformerBlock: Case(
        lambda: layers.TransformerBlock(
            2,
            D,
            6,
            norm_position="post",
            causal=True,
            relative=layers.T5Bias(2, causal=True, num_buckets=4, max_distance=6),
            window=3,
            activation="gelu",
        ),
        (TOKENS,),
    ),
    layers.Upsampling: Case(lambda: layers.Upsampling(2), (PICTURES,)),
    layers.VectorQuantizer: Case(
        lambda: layers.VectorQuantizer(5, D, decay=0.5, restart_below=0), (TOKENS,)
    ),
    Warmup: Case(lambda: Warmup(3), run=counted, functional=False),
    bert.BertEncoder: Case(lambda: bert.BertEncoder(BERT), (TEXTS,)),
    bert_pretrainer.MaskedLMHead: Case(
        lambda: bert_pretrainer.MaskedLMHead(BERT),
        (TOKENS,),
        mlm_head,
        functional=False,
    ),
    DiT: Case(lambda: DiT(DIT), (normal(B, 4, 4, 1), normal(B), normal(B, 3))),
    UNet: Case(lambda: UNet(UNET), (normal(B, 4, 4, 1), normal(B), normal(B, 3))),
    cyclegan_networks.Residual: Case(
        lambda: cyclegan_networks.Residual(3, data_format="channels_last"), (PICTURES,)
    ),
    dcgan.Generator: Case(lambda: dcgan.Generator(GAN), (normal(B, 4), ids(3, B))),
    dcgan.Discriminator: Case(
        lambda: dcgan.Discriminator(GAN), (normal(B, 8, 8, 1), ids(3, B))
    ),
    electra.Generator: Case(electra_generator, (TEXTS, ids(T, B, 2))),
    electra.ReplacedTokenHead: Case(lambda: electra.ReplacedTokenHead(BERT), (TOKENS,)),
    elmo.BidirectionalLSTM: Case(
        lambda: elmo.BidirectionalLSTM(zoo.ELMoConfig(11, 2, D)), (TEXTS,)
    ),
    SimpleSelfAttention: Case(lambda: SimpleSelfAttention(2.0), (TOKENS,)),
}


@keras.saving.register_keras_serializable("tests")
class Holder(keras.Model):
    """A user's subclassed model with one layer."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config):
        layer = keras.saving.deserialize_keras_object(config["layer"])
        if not layer.built:
            layer.build((None, None, D))
        made = cls(**{**config, "layer": layer})
        made.built = True
        return made


def found() -> set[type]:
    """All layers of the package but whole models."""
    for module in pkgutil.walk_packages(zoo.__path__, "zoo."):
        # Other backends' need them installed.
        if "engine_" not in module.name and "zoo.distribution." not in module.name:
            importlib.import_module(module.name)
    return {
        cls
        for cls in subclasses(keras.layers.Layer)
        if cls.__module__.startswith("zoo.") and not issubclass(cls, keras.Model)
    }


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


def randomize(layer):
    draw = np.random.default_rng(1)
    for variable in layer.variables:
        if keras.backend.standardize_dtype(variable.dtype).startswith("float"):
            # Positive: there are variances among them.
            variable.assign(draw.uniform(0.1, 1.0, variable.shape))


def made(case: Case) -> tuple[keras.Model, keras.Layer]:
    """A model with the layer, its weights drawn."""
    layer = case.make()
    if case.functional:
        inputs = keras.tree.map_structure(
            lambda x: keras.Input(x.shape[1:], dtype=x.dtype, batch_size=B), case.inputs
        )
        outputs = keras.tree.flatten(case.run(layer, *inputs))
        model = keras.Model(inputs, outputs)
    else:
        model = Holder(layer)
        layer.build((None, None, D))
        model.built = True
    randomize(model)
    return model, layer


def outputs(case: Case, model: keras.Model) -> list[Any]:
    if case.functional:
        results = model(case.inputs)
    else:
        results = case.run(model.layer, *case.inputs)
    return keras.tree.flatten(results)


def far(ours, theirs) -> float:
    ours, theirs = (ops.convert_to_numpy(x).astype("float32") for x in (ours, theirs))
    return float(np.abs(ours - theirs).max())


def same(case: Case, model: keras.Model, other: keras.Model) -> None:
    expected, received = outputs(case, model), outputs(case, other)
    assert len(expected) > 0
    for ours, theirs in zip(expected, received, strict=True):
        assert far(ours, theirs) < TOLERANCE


def test_every_layer_has_a_case():
    assert found() - ABSTRACT == set(CASES)


by_class = pytest.mark.parametrize("cls", CASES, ids=lambda cls: cls.__name__)


@by_class
def test_saved_loaded_and_cloned(cls, tmp_path):
    case = CASES[cls]
    model, layer = made(case)
    assert type(layer) is cls
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    same(case, model, loaded)

    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    own = {id(variable) for variable in model.variables}
    assert not own.intersection(id(variable) for variable in clone.variables)
    clone.load_weights(tmp_path / "model.weights.h5")
    same(case, model, clone)

    config = layer.get_config()
    again = cls.from_config(config).get_config()
    assert {name: again[name] for name in config} == config


@by_class
def test_the_name_in_files_is_stable(cls):
    registered = keras.saving.get_registered_name(cls)
    families = {"cyclegan": "CycleGAN", "dcgan": "DCGAN", "electra": "Electra"}
    module = cls.__module__.rpartition(".")[2].partition("_")[0]
    family = families.get(module, "")
    prefix = family if cls.__name__ != "ReplacedTokenHead" else ""
    assert registered == f"zoo>{prefix}{cls.__name__}"


# === What a constructor can be given ===


def test_layers_that_share_a_layer_share_it_again(tmp_path):
    bias = layers.T5Bias(2, initializer=Normal(1.0), num_buckets=4, max_distance=6)
    given = x = keras.Input((T, D))
    for _ in range(2):
        x = layers.TransformerBlock(2, D, 6, relative=bias)(x)
    model = keras.Model(given, x)
    randomize(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.variables) == len(model.variables)
    first, second = (block.attention.relative for block in loaded.layers[1:])
    assert first is second and first is not bias
    assert far(model(TOKENS), loaded(TOKENS)) == 0


@pytest.mark.parametrize(
    "activation", ["silu", "gelu", "gelu_tanh", ops.gelu, ops.relu, keras.ops.tanh]
)
def test_activations_come_back_as_they_were(activation):
    # Two of Keras's functions are called gelu: the one of keras.ops approximates.
    layer = layers.FeedForward(D, 6, activation=activation)
    layer.build((None, None, D))
    clone = layers.FeedForward.from_config(layer.get_config())
    clone.build((None, None, D))
    clone.set_weights(layer.get_weights())
    assert far(layer(10 * TOKENS), clone(10 * TOKENS)) == 0


@keras.saving.register_keras_serializable("tests")
def doubled(x):
    return 2 * x


def test_a_registered_function_is_an_activation():
    layer = layers.FeedForward(D, 6, activation=doubled)
    clone = layers.FeedForward.from_config(layer.get_config())
    assert clone.activation is doubled


@pytest.mark.parametrize("argument", ["activation", "initializer"])
def test_what_has_no_name_is_used_but_in_no_file(argument):
    def halves(x, dtype=None):
        return 0.5 * (ops.ones(x) if isinstance(x, tuple) else x)

    block = layers.TransformerBlock(2, D, 6, **{argument: halves})
    assert block(TOKENS).shape == TOKENS.shape
    with pytest.raises(ValueError, match=f"its {argument} is a function that"):
        block.get_config()


def test_unknown_activation():
    with pytest.raises(ValueError, match="gleu"):
        layers.FeedForward(D, 6, activation="gleu")


@keras.saving.register_keras_serializable("tests")
class Wider(layers.FeedForward):
    """A user's layer, with an argument of its own."""

    def __init__(self, width, factor=3, **kwargs):
        super().__init__(width, factor * width, **kwargs)


def test_a_subclass_needs_no_configuration_of_its_own():
    layer = Wider(D, activation="tanh", trainable=False, dtype="mixed_bfloat16")
    clone = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert type(clone) is Wider and clone.hidden_width == 3 * D
    assert clone.activation is keras.activations.tanh
    assert not clone.trainable and clone.compute_dtype == "bfloat16"


class ByPosition(layers.FeedForward):
    def __init__(self, *sizes):
        super().__init__(*sizes)


def test_arguments_without_names_are_refused():
    with pytest.raises(ValueError, match=r"was given \*sizes"):
        ByPosition(D, 6).get_config()
    with pytest.raises(TypeError, match="num_heads"):
        layers.MultiHeadAttention(width=D)
