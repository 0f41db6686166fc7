"""A Nymph folder as a transformers model: import this module, then `AutoModelForCausalLM.from_pretrained(folder)`.

The class is registered in this package, so `trust_remote_code` stays False; weights and configuration are read from the
very files that `save_pretrained` wrote. Only text goes in this way, and transformers' `generate` runs every step over
the whole sequence: `nymph.model.generation` has the caches. The only module of the package that imports transformers.
"""

import dataclasses
import os
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from nymph.model.config import ModelConfig, ObjectiveConfig
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import compute
from nymph.model.packing import positions_of
from nymph.model.storage import MODEL_TYPE
from nymph.plain import from_plain, to_plain

_FIELDS = tuple(field.name for field in dataclasses.fields(ModelConfig))
_TEXT = ObjectiveConfig(next_audio=0, masked_modality=0, sentiment=0, speaker=0)


class NymphConfig(PretrainedConfig):
    """A ModelConfig as transformers keeps it: the same keys, nested parts as dicts."""

    model_type = MODEL_TYPE

    def __init__(self, **values: Any) -> None:
        defaults = to_plain(ModelConfig())
        for name in _FIELDS:
            setattr(self, name, values.pop(name, defaults[name]))
        super().__init__(tie_word_embeddings=self.tie_embeddings, use_cache=False, **values)

    @property
    def vocab_size(self) -> int:
        """transformers' name of `vocabulary_size`."""
        return int(self.vocabulary_size)

    @property
    def num_hidden_layers(self) -> int:
        """transformers' name of `layers`."""
        return int(self.layers)

    def model_config(self) -> ModelConfig:
        """The configuration itself; NymphError where it is impossible."""
        return from_plain(ModelConfig, {name: getattr(self, name) for name in _FIELDS}, "config")


class NymphForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """MultimodalModel behind transformers' causal language model interface."""

    config_class = NymphConfig
    base_model_prefix = "model"

    def __init__(self, config: NymphConfig) -> None:
        super().__init__(config)
        self.model = MultimodalModel(config.model_config())
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **_: Any
    ) -> CausalLMOutput:
        """Logits [B, T, V] of tokens [B, T]; with `labels` (-100 to ignore) the mean next-token loss as well."""
        document = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        batch = {"tokens": input_ids, "document": document, "position": positions_of(document)}
        logits = self.model.logits(self.model(batch))
        loss: Any = None if labels is None else self._loss(batch, labels)
        return CausalLMOutput(loss=loss, logits=logits)

    def save_pretrained(self, save_directory: str | os.PathLike[str], *_: Any, **__: Any) -> None:  # type: ignore[override]
        """Write the folder as Nymph itself does."""
        self.model.save_pretrained(save_directory)

    def get_input_embeddings(self) -> torch.nn.Module:
        """The token embedding."""
        return self.model.token_embedding

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: MultimodalModel initialises itself, and every weight is in the file."""

    def _loss(self, batch: dict[str, Tensor], labels: Tensor) -> Tensor:
        weighed = {**batch, "loss_weight": (labels != -100).float()}
        loss, count = compute(self.model, weighed, _TEXT)["next_token"]
        return loss / count.clamp(min=1)


AutoConfig.register(MODEL_TYPE, NymphConfig)
AutoModelForCausalLM.register(NymphConfig, NymphForCausalLM)
