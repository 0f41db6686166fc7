"""Where the documents of a batch lie, worked out once a step and shared by every layer.

A packed row holds documents end to end; none may see another. Attention kernels get them as segments (contiguous
ranges), so no mask of T x T positions is ever made and no product is computed only to be masked away. Finding the
segments reads `document` on the host: one synchronisation a step on an accelerator.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """Positions start:stop of rows first:last are one document in each of these rows."""

    first: int
    last: int
    start: int
    stop: int


@dataclass(frozen=True)
class Layout:
    """The segments of a batch [rows, length]; positions in no segment are padding."""

    rows: int
    length: int
    segments: tuple[Segment, ...]

    @staticmethod
    def whole(rows: int, length: int) -> "Layout":
        """One document fills every row."""
        return Layout(rows, length, (Segment(0, rows, 0, length),))

    @staticmethod
    def of(document: Tensor) -> "Layout":
        """The layout of `document` [B, T] (0 padding); neighbouring rows with equal bounds share a segment."""
        rows, length = document.shape
        segments: list[Segment] = []
        previous: list[tuple[int, int]] = []
        for row, bounds in enumerate(_bounds(document)):
            if row and bounds == previous:
                tail = segments[len(segments) - len(bounds) :]
                segments[len(segments) - len(bounds) :] = [Segment(s.first, row + 1, s.start, s.stop) for s in tail]
            else:
                segments += [Segment(row, row + 1, start, stop) for start, stop in bounds]
            previous = bounds
        return Layout(rows, length, tuple(segments))

    @property
    def is_whole(self) -> bool:
        """Whether one document fills every row."""
        return self.segments == (Segment(0, self.rows, 0, self.length),)

    def documents(self, device: torch.device) -> Tensor:
        """Numbers [rows, length] that only positions of one segment share in a row; 0 is padding."""
        document = torch.zeros(self.rows, self.length, dtype=torch.long, device=device)
        for number, segment in enumerate(self.segments, start=1):
            document[segment.first : segment.last, segment.start : segment.stop] = number
        return document

    def boundaries(self) -> list[int]:
        """Cumulative ends for variable-length kernels over the flattened B * T positions, padding included."""
        cuts = {row * self.length for row in range(self.rows + 1)}
        for segment in self.segments:
            for row in range(segment.first, segment.last):
                cuts |= {row * self.length + segment.start, row * self.length + segment.stop}
        return sorted(cuts)


def positions_of(document: Tensor) -> Tensor:
    """Positions [B, T] that restart at 0 in each document."""
    index = torch.arange(document.shape[1], device=document.device).expand_as(document)
    starts = torch.ones_like(document, dtype=torch.bool)
    starts[:, 1:] = document[:, 1:] != document[:, :-1]
    return index - torch.where(starts, index, 0).cummax(dim=1).values


def _bounds(document: Tensor) -> list[list[tuple[int, int]]]:
    rows, length = document.shape
    changes = (document[:, 1:] != document[:, :-1]).cpu()
    host = document.cpu()
    found = []
    for row in range(rows):
        cuts = [0, *(changes[row].nonzero().flatten() + 1).tolist(), length]
        found.append([(a, b) for a, b in pairwise(cuts) if host[row, a] > 0])
    return found
