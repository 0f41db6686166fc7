"""What a run does for those who watch it: it hears their requests, tells what its machines do, and shows samples."""

from pathlib import Path

from nymph.flight.source import RowSource
from nymph.training.control import Control
from nymph.training.data import StepReader
from nymph.training.health import Alert
from nymph.training.job import Job
from nymph.training.learner import Learner
from nymph.training.machine import RankFigures, RowRates
from nymph.training.reporter import Reporter
from nymph.training.samples import Sampler
from nymph.training.signals import Requests
from nymph.training.world import World

LARGEST_COPY = 500_000_000
"""Parameters of a model in parts that rank 0 still looks at: it does so on the CPU, and the other ranks wait."""


class Onlookers:
    """One rank's side of it; only rank 0 hears and tells."""

    def __init__(
        self,
        job: Job,
        world: World,
        learner: Learner,
        reporter: Reporter,
        requests: Requests,
        validation: RowSource | None,
    ) -> None:
        self._learner, self._reporter, self._requests = learner, reporter, requests
        self._control = Control(job.run_directory) if world.main else None
        whole = job.launch.replicas
        self._samples = validation is not None and (whole or learner.parameters <= LARGEST_COPY)
        """Whether there are any; all ranks know, because rank 0 may need them to have the whole model."""
        self._sampler: Sampler | None = None
        if world.main and self._samples and validation is not None:
            self._sampler = Sampler(Path(job.run_directory), validation, learner.precision if whole else "fp32")
        self.figures, self._rates = RankFigures(world.device, world.rank, world.size), RowRates()

    def listen(self, step: int) -> None:
        """Take in what was asked for in the control file."""
        for request in self._control.asked() if self._control else ():
            self._reporter.event("control", step=step, request=request)
            self._requests.checkpoint |= request == "checkpoint"
            self._requests.stop |= request == "stop"

    def report(self, step: int, sums: list[float], reader: StepReader) -> None:
        """Log what every rank's machine does and how rows come, every few seconds."""
        if figures := self.figures.report(sums):
            rates = self._rates.since(reader.rows_read, reader.bytes_read)
            self._reporter.event("machine", step=step, **figures, queue=reader.ready, **rates)

    def sample(self, step: int) -> None:
        """Show what the model makes of a few validation documents; a failure is told and ends no training."""
        model = self._learner.whole_model() if self._samples else None
        if self._sampler is None or model is None:
            return
        try:
            for name in self._sampler.write(step, model):
                self._reporter.event("sample", step=step, file=name)
        except Exception as error:  # a full disk, too little memory: nothing that training itself must end for
            self._sampler = None
            text = f"no more samples in this run: {type(error).__name__}: {error}"
            self._reporter.alert(step, Alert("sample", text))
