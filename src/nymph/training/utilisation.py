"""Model FLOPs utilisation: how much of its devices' matrix speed a run turns into training.

PaLM (arXiv:2204.02311, appendix B) divides by the speed on the data sheet. Nymph divides by what a matrix product in
the run's precision really reaches on the devices at hand, because sheets say nothing of emulated formats and hot cards;
so its figure is the higher one.
"""

from nymph.model.config import ModelConfig
from nymph.model.estimate import estimate
from nymph.training.precision import gemm_speeds
from nymph.training.world import World


class Utilisation:
    """Measures matrix products on every rank for some 10 ms, then only multiplies. Every rank must make one."""

    def __init__(self, config: ModelConfig, precision: str, world: World) -> None:
        speeds = gemm_speeds(world.device)
        (flops_per_second,) = world.sum([speeds.get(precision, speeds["fp32"])])
        self._seconds_per_token = estimate(config).flops_per_token / flops_per_second

    def of(self, tokens_per_second: float) -> float:
        """The share, from 0 to 1, at a rate of all ranks together."""
        return tokens_per_second * self._seconds_per_token
