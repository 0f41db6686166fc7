"""The most likely pitch track through pYIN's candidates: `librosa.sequence.viterbi` on its model, in a stream.

The model has a voiced and an unvoiced state per pitch bin; a frame moves the pitch by at most `HALF` bins, and
librosa gives impossible moves and bins without a candidate the probability 2.2e-308 rather than none. Three facts
make the search fast and its result the same, sum for sum:

- a voiced state without a candidate costs 708 nats; while an upper bound shows that no path through it can win the
  next frame, it is left out, and in the rare frames where the bound fails all bins are kept;
- all unvoiced states of a frame are equally likely, so what a path needs to remember of an unvoiced stretch is the
  last candidate before it. Paths are linked lists of candidates, and no table of back-pointers over states is kept;
- what all living paths share is decided. It is handed out at once, so a stream gives what the whole recording gives,
  and memory holds only the candidates since the paths last met (in speech, less than a second).
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.signal

from nymph.audio.compiled import compiled
from nymph.audio.decode import SAMPLE_RATE
from nymph.audio.framing import HOP
from nymph.audio.pyin import BINS_PER_SEMITONE, Candidates, Doubles, Ints

MAX_OCTAVES_PER_SECOND = 35.92
SWITCH = 0.01
"""librosa's defaults: how fast pitch may move, and how likely voicing changes from one frame to the next."""

Longs = npt.NDArray[np.int64]

WIDTH = round(MAX_OCTAVES_PER_SECOND * 12 * HOP / SAMPLE_RATE) * BINS_PER_SEMITONE + 1
HALF = WIDTH // 2
TINY = float(np.finfo(np.float64).tiny)
IMPOSSIBLE = float(np.log(TINY))
UNVOICED = -1


class Moves(NamedTuple):
    """Log probabilities of moving between bins, the same numbers in the orders in which they are read."""

    stay: Doubles
    """[WIDTH, bins], keeping the voicing: to bin j from bin j + row - HALF"""
    stay_into: Doubles
    """[bins, WIDTH], its transpose"""
    switch_into: Doubles
    """[bins, WIDTH], changing the voicing: to bin j from bin j + column - HALF"""
    switch_from: Doubles
    """[bins, WIDTH], changing the voicing: from bin k to bin k + column - HALF"""
    most_stay: float
    least_switch: float
    """the least of changing the voicing and keeping the bin"""


class Paths(NamedTuple):
    """The best path into each state of the latest frame: its log probability and its latest candidate's row."""

    voiced: Doubles
    """[bins], -inf where left out"""
    voiced_node: Longs
    unvoiced: Doubles
    """[bins + 2 * HALF], -inf at both ends so that moves need no bounds"""
    unvoiced_node: Longs
    top: Doubles
    """[2]: the best of all these values, and a bound no less than any voiced state left out"""
    top_node: Longs
    """[1], the latest candidate of the best"""


class TrackSearch:
    """Takes candidates in batches, gives the pitch bins of frames once they are decided."""

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self._moves = _transitions(bins)
        padded = np.full(bins + 2 * HALF, -np.inf)
        self._paths = Paths(np.empty(bins), _rows(bins), padded, _rows(len(padded)), np.full(2, -np.inf), _rows(1))
        self._nodes = np.full((1, 3), -1, np.int64)  # columns frame, bin, previous row; all paths begin in row 0
        self._frames = 0
        self._decided = 0

    def push(self, candidates: Candidates) -> Longs:
        """Take the next frames; give the bins of those now decided, in order, with `UNVOICED` for none."""
        log_voiced = np.log(candidates.probability + TINY)
        log_unvoiced = np.log((1 - candidates.voiced_probability) / self.bins + TINY)
        first = self._frames == 0
        if first:
            n = candidates.starts[1]
            self._begin(candidates.bins[:n], log_voiced[:n], log_unvoiced[0])
        arrays = (candidates.starts[first:], candidates.bins, log_voiced, log_unvoiced[first:])
        self._nodes = _advance(*arrays, self._moves, self._paths, self._nodes, self._frames + first)
        self._frames += len(log_unvoiced)
        return self._settle()

    def finish(self) -> Longs:
        """The bins of all remaining frames, along the best path."""
        values = np.concatenate([self._paths.voiced, self._paths.unvoiced[HALF:-HALF]])
        nodes = np.concatenate([self._paths.voiced_node, self._paths.unvoiced_node[HALF:-HALF]])
        return self._emit(int(nodes[np.argmax(values)]), self._frames)

    def _begin(self, bins: Ints, log_voiced: Doubles, log_unvoiced: float) -> None:
        """The first frame: every state is equally likely before it."""
        start = np.log(1.0 / (2 * self.bins) + TINY)
        self._paths.voiced[:] = IMPOSSIBLE + start
        self._paths.voiced[bins] = log_voiced + start
        self._paths.unvoiced[HALF:-HALF] = log_unvoiced + start
        self._paths.voiced_node[:] = np.arange(1, self.bins + 1)
        voiced_wins = self._paths.voiced.max() >= self._paths.unvoiced.max()
        self._paths.top[0] = max(self._paths.voiced.max(), self._paths.unvoiced.max())
        self._paths.top_node[0] = 1 + np.argmax(self._paths.voiced) if voiced_wins else 0
        every_bin = np.stack([_rows(self.bins), np.arange(self.bins), _rows(self.bins)], axis=1)
        self._nodes = np.concatenate([self._nodes, every_bin])

    def _settle(self) -> Longs:
        """Hand out what all living paths share and forget every candidate that none of them holds."""
        live = self._paths.voiced_node[np.isfinite(self._paths.voiced)]
        ends = np.unique(np.concatenate([live, self._paths.unvoiced_node[HALF:-HALF]]))
        ancestor, rows = _common_ancestor(self._nodes, ends)
        decided = self._emit(ancestor, int(self._nodes[rows, 0].min()) if len(rows) else self._frames)
        new_row = np.zeros(len(self._nodes), np.int64)
        new_row[rows] = np.arange(1, len(rows) + 1)
        self._nodes = self._nodes[np.concatenate([[ancestor], rows])]
        self._nodes[:, 2] = new_row[self._nodes[:, 2]]
        self._paths.voiced_node[:] = new_row[self._paths.voiced_node]
        self._paths.unvoiced_node[:] = new_row[self._paths.unvoiced_node]
        self._paths.top_node[:] = new_row[self._paths.top_node]
        return decided

    def _emit(self, row: int, stop: int) -> Longs:
        """Bins from the first undecided frame to `stop`, along the path that ends in `row`."""
        track = np.full(stop - self._decided, UNVOICED, np.int64)
        _trace(self._nodes, row, self._decided, track)
        self._decided = stop
        return track


def _rows(n: int) -> Longs:
    return np.zeros(n, np.int64)


@cache
def _transitions(bins: int) -> Moves:
    """librosa's: a triangle around the bin, cut and normalised at the ends of the range."""
    window = scipy.signal.get_window("triangle", WIDTH, fftbins=False)
    local = np.zeros((bins, bins))
    for i in range(bins):
        first, stop = max(0, i - HALF), min(bins, i + HALF + 1)
        local[i, first:stop] = window[first - i + HALF : stop - i + HALF]
    local /= local.sum(axis=1, keepdims=True)
    keep = 1 - SWITCH
    stay, switch = _banded(np.log(keep * local + TINY)), _banded(np.log((1.0 - keep) * local + TINY))
    switch_from = np.full((bins, WIDTH), -np.inf)
    for column in range(WIDTH):
        k = np.arange(max(0, HALF - column), min(bins, bins + HALF - column))
        switch_from[k, column] = switch[2 * HALF - column, k + column - HALF]
    into = np.ascontiguousarray(stay.T), np.ascontiguousarray(switch.T)
    return Moves(stay, *into, switch_from, float(stay.max()), float(switch[HALF].min()))


def _banded(logs: Doubles) -> Doubles:
    bins = len(logs)
    band = np.full((WIDTH, bins), -np.inf)
    for row in range(WIDTH):
        to = np.arange(max(0, HALF - row), min(bins, bins + HALF - row))
        band[row, to] = logs[to + row - HALF, to]
    return band


@compiled
def _advance(
    starts: Ints,
    bins: Ints,
    log_voiced: Doubles,
    log_unvoiced: Doubles,
    moves: Moves,
    paths: Paths,
    nodes: Longs,
    frame: int,
) -> Longs:
    """One forward step for each frame, `paths` in place; all candidates met are appended to a copy of `nodes`."""
    n, end = len(paths.voiced), len(nodes)
    grown = np.empty((end + n * len(log_unvoiced), 3), np.int64)
    grown[:end] = nodes
    values, value_nodes, every_bin = np.empty(n), np.empty(n, np.int64), np.arange(n).astype(np.int32)
    for i in range(len(log_unvoiced)):
        left_out = IMPOSSIBLE + max(paths.top[0], paths.top[1]) + moves.most_stay
        low, high, high_node = _into_unvoiced(moves, paths, values, value_nodes)
        here, log_here = bins[starts[i] : starts[i + 1]], log_voiced[starts[i] : starts[i + 1]]
        complete = low + log_unvoiced[i] + moves.least_switch <= left_out + moves.most_stay
        if complete:
            spread = np.full(n, IMPOSSIBLE)
            spread[here] = log_here
            here, log_here = every_bin, spread
        into = grown[end : end + len(here)]
        reached = _into_voiced(here, moves, paths, into)
        paths.voiced[:] = -np.inf
        paths.unvoiced[HALF : HALF + n] = values + log_unvoiced[i]
        paths.unvoiced_node[HALF : HALF + n] = value_nodes
        paths.top[0], paths.top[1], paths.top_node[0] = high + log_unvoiced[i], left_out, high_node
        if complete:
            paths.top[1] = -np.inf
        for c in range(len(here)):
            into[c, 0], value = frame + i, reached[c] + log_here[c]
            paths.voiced[here[c]], paths.voiced_node[here[c]] = value, end + c
            if value > paths.top[0]:
                paths.top[0], paths.top_node[0] = value, end + c
        end += len(here)
    return grown[:end].copy()


@compiled
def _into_unvoiced(moves: Moves, paths: Paths, values: Doubles, nodes: Longs) -> tuple[float, float, int]:
    """The best way into each unvoiced bin; the lowest and highest of them, and the latest candidate of the highest.

    On a tie the lower state wins, voiced before unvoiced, as in librosa.
    """
    n, jump = len(values), paths.top[0] + IMPOSSIBLE
    _from_voiced(moves, paths, values, nodes)
    best = _best_unvoiced(paths.unvoiced, moves.stay)
    source = 0  # the triangle's logarithm is concave, so sources rise with j: search on from the last one
    low, high, high_at = np.inf, -np.inf, 0
    for j in range(n):
        if best[j] > values[j]:
            source = max(source, j)
            while source < j + WIDTH and paths.unvoiced[source] + moves.stay_into[j, source - j] != best[j]:
                source += 1
            if source == j + WIDTH:  # rounding can reorder near ties
                source = j + int(np.argmax(paths.unvoiced[j : j + WIDTH] + moves.stay_into[j]))
            values[j], nodes[j] = best[j], paths.unvoiced_node[source]
        low = min(low, values[j])
        if values[j] > high:
            high, high_at = values[j], j
    if low < jump:
        nodes[values < jump] = paths.top_node[0]
        np.maximum(values, jump, values)
    return max(low, jump), max(high, jump), nodes[high_at]


@compiled
def _from_voiced(moves: Moves, paths: Paths, values: Doubles, nodes: Longs) -> None:
    values[:] = -np.inf
    for k in range(len(values)):
        if paths.voiced[k] == -np.inf:
            continue
        for j in range(max(0, k - HALF), min(len(values), k + HALF + 1)):
            value = paths.voiced[k] + moves.switch_from[k, j - k + HALF]
            if value > values[j]:
                values[j], nodes[j] = value, paths.voiced_node[k]


@compiled
def _best_unvoiced(unvoiced: Doubles, stay: Doubles) -> Doubles:
    """Best value from an unvoiced bin into each unvoiced bin: most of the arithmetic, so nothing but max here."""
    best = np.full(stay.shape[1], -np.inf)
    for row in range(0, WIDTH - 1, 2):  # two rows at a time halve the traffic of `best`
        for j in range(len(best)):
            one, other = unvoiced[row + j] + stay[row, j], unvoiced[row + 1 + j] + stay[row + 1, j]
            better = one if one > other else other
            best[j] = better if better > best[j] else best[j]
    for j in range(len(best)):  # WIDTH is odd
        value = unvoiced[WIDTH - 1 + j] + stay[WIDTH - 1, j]
        best[j] = value if value > best[j] else best[j]
    return best


@compiled
def _into_voiced(bins: Ints, moves: Moves, paths: Paths, rows: Longs) -> Doubles:
    """The best way into each of some voiced bins; bin and latest candidate go into `rows` [len(bins), 3]."""
    reached = np.empty(len(bins))
    for c in range(len(bins)):
        j = bins[c]
        first, stop = max(0, j - HALF), min(len(paths.voiced), j + HALF + 1)
        best, k = _best_sum(paths.voiced[first:stop], moves.stay_into[j, first - j + HALF :])
        node = paths.voiced_node[first + k]
        value, k = _best_sum(paths.unvoiced[j : j + WIDTH], moves.switch_into[j])
        if value > best:
            best, node = value, paths.unvoiced_node[j + k]
        if paths.top[0] + IMPOSSIBLE > best:
            best, node = paths.top[0] + IMPOSSIBLE, paths.top_node[0]
        reached[c], rows[c, 1], rows[c, 2] = best, j, node
    return reached


@compiled
def _best_sum(values: Doubles, moves: Doubles) -> tuple[float, int]:
    """The largest of `values + moves` and where it first stands."""
    best, at = -np.inf, 0
    for k in range(len(values)):
        value = values[k] + moves[k]
        best = value if value > best else best
    while at < len(values) - 1 and values[at] + moves[at] != best:
        at += 1
    return best, at


@compiled
def _common_ancestor(nodes: Longs, ends: Longs) -> tuple[int, Longs]:
    """The latest row on the paths to all `ends`, and the rows after it on any of them. Rows are in order of time."""
    pending = np.zeros(len(nodes), np.bool_)
    pending[ends] = True
    living, row = len(ends), len(nodes) - 1
    while living > 1 or not pending[row]:
        if pending[row]:
            living -= pending[nodes[row, 2]]
            pending[nodes[row, 2]] = True
        row -= 1
    return row, row + 1 + np.flatnonzero(pending[row + 1 :])


@compiled
def _trace(nodes: Longs, row: int, first: int, track: Longs) -> None:
    while row > 0 and nodes[row, 0] >= first:
        track[nodes[row, 0] - first] = nodes[row, 1]
        row = nodes[row, 2]
