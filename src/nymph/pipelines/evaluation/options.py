"""Options of the evaluation stage."""

from pydantic import BaseModel, ConfigDict, Field


class EvaluationOptions(BaseModel):
    """`params:evaluation`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int | None = Field(default=None, ge=1)
    """Test rows used, from the first; null is all."""
    batch_rows: int = Field(default=4, ge=1)
    """Rows of a forward pass."""
    ablations: bool = True
    """Also report the loss with each modality withheld."""
    samples: int = Field(default=2, ge=0, le=64)
    """Continuations generated from the beginnings of test rows."""
    sample_tokens: int = Field(default=32, ge=1, le=2048)
    """Tokens of a continuation."""
    temperature: float = Field(default=0.8, ge=0.1, le=2.0)
    """Of the sampling."""
    seed: int = 0
    """Of the sampling."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
