"""Attention layers: multi-head latent (DeepSeek-V2, arXiv:2405.04434), grouped-query and multi-head.

Each has two ways to run that give the same numbers: over whole rows for training and prompts, and one new position a
row against a cache. There the latent layer absorbs its up-projections into the query and the output,
so that the cache is never expanded: it costs heads x latent products a cached position instead of the expansion.

Shapes: B rows, T positions, D model width, H query heads, G key/value heads, L latent width.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nymph.errors import NymphError
from nymph.model.cache import Cache
from nymph.model.config import ModelConfig
from nymph.model.kernels import attend
from nymph.model.layers import RMSNorm
from nymph.model.packed import Linear
from nymph.model.packing import Layout
from nymph.model.ring import Ring, RingLatentAttention, windowed_halo
from nymph.model.rope import Rotation, turn


class Place(NamedTuple):
    """Where positions are, as far as a layer needs to know."""

    layout: Layout | None
    """Documents of whole rows; None for one new position a row."""
    positions: Tensor
    """Where a cache keeps the positions [B, T]."""
    cache: Cache | None = None
    ring: Ring | None = None
    """Ranks that a row is cut over."""
    rotation: Rotation = ()
    """Cosines and sines for RoPE."""


class LatentAttention(nn.Module):
    """Multi-head latent attention; the cache holds L + rope features a position."""

    compiled = ("_queries", "_latents", "_expanded")
    """Methods a compiler gains from: all around the kernel, whose layout changes from batch to batch."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        options = config.attention
        assert options.latent and options.rope and options.nope and options.value  # noqa: PT018
        self.layer, self.window, self.heads = layer, config.window_of(layer), options.heads
        self.latent, self.rope, self.nope, self.value = options.latent, options.rope, options.nope, options.value
        self.scale = config.head_width**-0.5
        queries = options.heads * config.head_width
        if options.query_latent:
            self.query_down = Linear(config.width, options.query_latent)
            self.query_norm = RMSNorm(options.query_latent, eps=config.norm_epsilon)
        self.query = Linear(options.query_latent or config.width, queries)
        self.latent_down = Linear(config.width, self.latent + self.rope)
        self.latent_norm = RMSNorm(self.latent, eps=config.norm_epsilon)
        self.latent_up = Linear(self.latent, self.heads * (self.nope + self.value))
        self.output = Linear(self.heads * self.value, config.width)

    def forward(self, x: Tensor, place: Place) -> Tensor:
        """x [B, T, D] -> [B, T, D]; fills the cache where there is one, and reads it where there is no layout."""
        query = self._queries(x, place)
        latent, key = self._latents(x, place)
        if place.layout is None:
            return self._step(query, (torch.cat((latent, key), dim=-1),), place)
        if place.cache:
            place.cache.fill(self.layer, (torch.cat((latent, key), dim=-1),), place.positions)
        if place.ring:
            out = self._over_ranks(query, torch.cat((latent, key), dim=-1), place.ring)
        else:
            out = attend(query, *self._expanded(latent, key), place.layout, self.window, self.scale)
        return self.output(out.flatten(2))

    def _expanded(self, latent: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.latent_up(latent).unflatten(-1, (self.heads, -1)).split((self.nope, self.value), dim=-1)
        return torch.cat((keys, key.unsqueeze(2).expand(-1, -1, self.heads, -1)), dim=-1), values

    def _over_ranks(self, query: Tensor, latents: Tensor, ring: Ring) -> Tensor:
        """Attention of this rank's queries to all ranks' positions: round the ring, or to the rank before's last."""
        if self.window is None:
            widths = (self.latent, self.nope, self.value)
            return RingLatentAttention.apply(query, latents, self.latent_up.weight, widths, self.scale, ring)
        seen, layout = windowed_halo(latents, self.window, ring)
        before = self.window - 1
        padded = F.pad(query, (0, 0, 0, 0, before, 0))
        keys, values = self._expanded(*seen.split((self.latent, self.rope), dim=-1))
        return attend(padded, keys, values, layout, self.window, self.scale)[:, before:]

    def _step(self, query: Tensor, features: tuple[Tensor, ...], place: Place) -> Tensor:
        """One position a row: all heads read the same cached latents, as so many queries of one head."""
        assert place.cache is not None
        nope, rope = query.split((self.nope, self.rope), dim=-1)
        cache = place.cache.append(self.layer, features, place.positions)
        cached = cache.read()[0].unsqueeze(1)
        up = self.latent_up.weight.unflatten(0, (self.heads, -1))
        absorbed = torch.einsum("bqhn,hnl->bqhl", nope, up[:, : self.nope])
        context = F.scaled_dot_product_attention(
            torch.cat((absorbed, rope), dim=-1), cached, cached, cache.visible(place.positions), scale=self.scale
        )
        return self.output(torch.einsum("bqhl,hvl->bqhv", context[..., : self.latent], up[:, self.nope :]).flatten(2))

    def _queries(self, x: Tensor, place: Place) -> Tensor:
        if hasattr(self, "query_down"):
            x = self.query_norm(self.query_down(x))
        return turn(self.query(x).unflatten(-1, (self.heads, -1)), place.rotation)

    def _latents(self, x: Tensor, place: Place) -> tuple[Tensor, Tensor]:
        latent, key = self.latent_down(x).split((self.latent, self.rope), dim=-1)
        return self.latent_norm(latent), turn(key.unsqueeze(2), place.rotation).squeeze(2)


class GroupedAttention(nn.Module):
    """Grouped-query attention; with as many key/value heads as query heads it is multi-head attention."""

    compiled = ("_heads",)
    """As of LatentAttention."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        options = config.attention
        self.layer, self.window, self.heads = layer, config.window_of(layer), options.heads
        self.groups = options.key_value_heads or options.heads
        self.scale = config.head_width**-0.5
        self.query_key_value = Linear(config.width, (self.heads + 2 * self.groups) * config.head_width)
        self.output = Linear(self.heads * config.head_width, config.width)
        if options.query_key_norm:
            self.query_norm = RMSNorm(config.head_width, eps=config.norm_epsilon)
            self.key_norm = RMSNorm(config.head_width, eps=config.norm_epsilon)

    def forward(self, x: Tensor, place: Place) -> Tensor:
        """x [B, T, D] -> [B, T, D]; fills the cache where there is one, and reads it where there is no layout."""
        if place.ring:
            raise NymphError("context parallelism passes latents: it needs attention type 'mla', got 'gqa' or 'mha'")
        query, key, value = self._heads(x, place)
        if place.layout is None:
            return self._step(query, (key, value), place)
        if place.cache:
            place.cache.fill(self.layer, (key, value), place.positions)
        return self.output(attend(query, key, value, place.layout, self.window, self.scale).flatten(2))

    def _heads(self, x: Tensor, place: Place) -> tuple[Tensor, Tensor, Tensor]:
        heads = self.query_key_value(x).unflatten(-1, (self.heads + 2 * self.groups, -1))
        turned, value = heads.split((self.heads + self.groups, self.groups), dim=2)
        if hasattr(self, "query_norm"):
            query, key = turned.split((self.heads, self.groups), dim=2)
            turned = torch.cat((self.query_norm(query), self.key_norm(key)), dim=2)
        query, key = turn(turned, place.rotation).split((self.heads, self.groups), dim=2)
        return query, key, value

    def _step(self, query: Tensor, features: tuple[Tensor, ...], place: Place) -> Tensor:
        """One position a row: the heads that share keys are so many queries of one head."""
        assert place.cache is not None
        cache = place.cache.append(self.layer, features, place.positions)
        keys, values = (x.transpose(1, 2) for x in cache.read())
        grouped = query.squeeze(1).unflatten(1, (self.groups, -1))
        visible = cache.visible(place.positions)
        return self.output(
            F.scaled_dot_product_attention(grouped, keys, values, visible, scale=self.scale).flatten(1)[:, None]
        )


def build_attention(config: ModelConfig, layer: int) -> nn.Module:
    """The attention layer that a configuration declares."""
    kind = LatentAttention if config.attention.type == "mla" else GroupedAttention
    return kind(config, layer)
