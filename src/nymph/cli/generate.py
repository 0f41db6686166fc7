"""`kedro generate`: let the trained model go on from a text."""

import logging

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_catalog
from nymph.errors import NymphError


@click.command(cls=ClearCommand)
@click.argument("prompt")
@click.option("--checkpoint", help="Folder of a checkpoint, instead of the last training's.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=64, show_default=True, help="Tokens to add.")
@click.option("--temperature", type=float, default=0.8, show_default=True, help="0, or 0.1 (sober) to 2.0 (wild).")
@click.option("--top-k", type=int, default=None, help="Only this many likeliest tokens, 1 to 100.")
@click.option("--top-p", type=float, default=1.0, show_default=True, help="Only tokens that reach this probability.")
@click.option("--min-p", type=float, default=0.0, show_default=True, help="Only tokens with this share of the best.")
@click.option("--repetition-penalty", type=float, default=1.0, show_default=True, help="1 to 10.")
@click.option("--seed", type=int, default=0, show_default=True)
@env_option
@click.pass_obj
def generate(
    metadata: ProjectMetadata,
    /,
    prompt: str,
    checkpoint: str | None,
    max_tokens: int,
    env: str | None,
    **sampling: float,
) -> None:
    """Continue PROMPT with the trained model, token by token."""
    from nymph.model.generation import stream
    from nymph.model.multimodal import MultimodalModel
    from nymph.model.sampling import SamplingConfig
    from nymph.text.vocabulary import END_OF_DOCUMENT

    logging.getLogger("nymph.model").setLevel(logging.WARNING)  # its kernels' names are no part of the text
    catalog = load_catalog(metadata, env)
    tokenizer = catalog.load("tokenizer")
    stop = (tokenizer.id(END_OF_DOCUMENT),)
    options = SamplingConfig(max_new_tokens=max_tokens, stop_tokens=stop, **sampling)  # type: ignore[arg-type]
    model = MultimodalModel.from_pretrained(checkpoint or _last_checkpoint(catalog))
    ids = tokenizer.encode(prompt)
    if not ids:
        raise NymphError("expected a prompt that is not empty")
    click.echo(prompt, nl=False)
    shown = ""
    added: list[int] = []
    for step in stream(model, [ids], options):
        token = step.tokens[0]
        if token is None or token in stop:
            break
        added.append(token)
        text = tokenizer.decode(added)
        if not text.endswith("\ufffd"):  # half a character: wait for the rest
            click.echo(text[len(shown) :], nl=False)
            shown = text
    click.echo()


def _last_checkpoint(catalog: object) -> str:
    if not catalog.exists("training_report"):  # type: ignore[attr-defined]
        raise NymphError("nothing was trained yet; run `kedro run --pipelines training`, or name a --checkpoint")
    return str(catalog.load("training_report")["checkpoint"])  # type: ignore[attr-defined]
