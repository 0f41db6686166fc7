"""A model cut into stages of consecutive layers, one a rank, for models that fit no single card (pipeline parallelism).

The first stage has the embeddings, the last one the norm and the heads; a tied embedding is on both. Stages keep the
names of the whole model, so that a checkpoint of stages is one of the model. Each is cut from the whole model in host
memory, which gives it the weights one process would begin with.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nymph.model.attention import Place
from nymph.model.config import ModelConfig
from nymph.model.masking import Masks
from nymph.model.multimodal import Batch, MultimodalModel
from nymph.model.transformer import Block

FEATURES = "features"
"""Where a batch holds what the stage before has made of it, [B, T, D]."""
_INPUTS = (
    "audio_projection",
    "prosody_projection",
    "sentiment_embedding",
    "speaker_projection",
    "image_projection",
    "mask_embedding",
)


class LaterStage(MultimodalModel):
    """A model that begins with the features of the stage before."""

    def embed(self, batch: Batch, masks: Masks | None = None) -> Tensor:
        return batch[FEATURES]


class Elsewhere(Block):
    """A block that another rank has."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def look(self, x: Tensor, place: Place) -> Tensor:
        return x

    def feed(self, x: Tensor) -> Tensor:
        return x


def cut(config: ModelConfig, stages: Sequence[int], rank: int) -> MultimodalModel:
    """The stage of `rank`, of so many layers each, with the weights that the whole model would have."""
    model = LaterStage(config) if rank else MultimodalModel(config)
    for layer in range(config.layers):
        if stage_of_layer(stages, layer) != rank:
            model.transformer.blocks[layer] = Elsewhere()
    if rank != len(stages) - 1:
        model.transformer.norm = nn.Identity()  # type: ignore[assignment]
    for name, _ in list(model.named_children()):
        if name != "transformer" and rank not in holders(config, stages, name):
            delattr(model, name)
    return model


def holders(config: ModelConfig, stages: Sequence[int], name: str) -> tuple[int, ...]:
    """The ranks that have a parameter or module of this name; the first one saves it."""
    last = len(stages) - 1
    if name.startswith("transformer.blocks."):
        return (stage_of_layer(stages, int(name.split(".")[2])),)
    if name.startswith("token_embedding"):
        return (0, last) if config.tie_embeddings and last else (0,)
    return (0,) if name.startswith(_INPUTS) else (last,)


def stage_of_layer(stages: Sequence[int], layer: int) -> int:
    """The rank that has a layer."""
    ends = [sum(stages[: rank + 1]) for rank in range(len(stages))]
    return next(rank for rank, end in enumerate(ends) if layer < end)


def names_and_shapes(config: ModelConfig) -> dict[str, torch.Size]:
    """Of every parameter of the whole model, which is never made for it."""
    with torch.device("meta"):
        return {name: parameter.shape for name, parameter in MultimodalModel(config).named_parameters()}
