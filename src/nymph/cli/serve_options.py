"""Options of `kedro serve`, apart from the command because they need pyarrow and `--help` does not."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nymph.flight.listening import Tls
from nymph.flight.server import Limits


class ServeOptions(BaseModel):
    """`serve.yml`: what is served, where, and to whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on; beyond this machine TLS and tokens are required."""
    port: int = Field(default=9090, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
    roots: dict[str, Path] = Field(min_length=1)
    """Name -> folder (relative to the project); every folder of Parquet shards below it is the table NAME/FOLDER."""
    tokens: Path | None = None
    """JSON file of bearer tokens with scopes, mode 0600."""
    tls: Tls | None = None
    """Certificate, key and, for mutual TLS, the clients' authority."""
    limits: Limits = Field(default_factory=Limits)
    """What one server gives at most."""
    writable: tuple[str, ...] = ()
    """Roots that accept uploads from tokens with the scope `write`."""
    backups: dict[str, Path] = Field(default_factory=dict)
    """Name -> folder (relative to the project) that keeps folders of files, such as checkpoints, that trainers send."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of 127.0.0.1 that answers GET /metrics in the Prometheus format; null serves no metrics."""
    log: Literal["text", "json"] = "text"
    """How the server logs: Kedro's way, or one JSON object a line on stderr."""
    insecure: bool = False
    """Listen beyond this machine without TLS and tokens: only where the network is your own."""
