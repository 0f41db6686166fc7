"""`kedro generate`: let the trained model go on from a text."""

from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_catalog
from nymph.errors import NymphError

if TYPE_CHECKING:
    from nymph.model.multimodal import MultimodalModel
    from nymph.model.sampling import SamplingConfig
    from nymph.text.tokenizer import Tokenizer


@click.command(cls=ClearCommand)
@click.argument("prompts", nargs=-1, required=True, metavar="PROMPT...")
@click.option("--checkpoint", help="Folder of a checkpoint, instead of the last training's.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=64, show_default=True, help="Tokens to add.")
@click.option("--temperature", type=float, default=0.8, show_default=True, help="0, or 0.1 (sober) to 2.0 (wild).")
@click.option("--top-k", type=int, default=None, help="Only this many likeliest tokens, 1 to 100.")
@click.option("--top-p", type=float, default=1.0, show_default=True, help="Only tokens that reach this probability.")
@click.option("--min-p", type=float, default=0.0, show_default=True, help="Only tokens with this share of the best.")
@click.option("--repetition-penalty", type=float, default=1.0, show_default=True, help="1 to 10.")
@click.option("--stop", "stops", multiple=True, help="End before this token, such as '<|user|>'; once for each.")
@click.option("--seed", type=int, default=0, show_default=True)
@env_option
@click.pass_obj
def generate(
    metadata: ProjectMetadata,
    /,
    prompts: tuple[str, ...],
    checkpoint: str | None,
    max_tokens: int,
    stops: tuple[str, ...],
    env: str | None,
    **sampling: float,
) -> None:
    """Continue PROMPT with the trained model, token by token.

    Several prompts are continued together, each as it would be by itself with the seed that is its number more, and
    shown once all have ended.
    """
    from nymph.model.multimodal import MultimodalModel
    from nymph.model.sampling import SamplingConfig
    from nymph.text.vocabulary import END_OF_DOCUMENT

    catalog = load_catalog(metadata, env)
    tokenizer = catalog.load("tokenizer")
    stop = tuple(tokenizer.id(token) for token in (END_OF_DOCUMENT, *stops))
    options = SamplingConfig(max_new_tokens=max_tokens, stop_tokens=stop, **sampling)  # type: ignore[arg-type]
    model = MultimodalModel.from_pretrained(checkpoint or _last_checkpoint(catalog))
    if not all(prompts):
        raise NymphError("expected prompts that are not empty, got ''")
    if len(prompts) == 1:
        _continue_one(model, tokenizer, prompts[0], options)
    else:
        _continue_all(model, tokenizer, prompts, options)


def _continue_one(model: "MultimodalModel", tokenizer: "Tokenizer", prompt: str, options: "SamplingConfig") -> None:
    from nymph.model.generation import stream

    shown, added = "", list[int]()
    for step in stream(model, [tokenizer.encode(prompt)], options):
        if not added:  # not before: the first step names its attention kernels
            click.echo(prompt, nl=False)
        token = step.tokens[0]
        if token is None or token in options.stop_tokens:
            break
        added.append(token)
        text = tokenizer.decode(added)
        if not text.endswith("\ufffd"):  # half a character: wait for the rest
            click.echo(text[len(shown) :], nl=False)
            shown = text
    click.echo()


def _continue_all(
    model: "MultimodalModel", tokenizer: "Tokenizer", prompts: tuple[str, ...], options: "SamplingConfig"
) -> None:
    from nymph.model.generation import generate

    found = generate(model, [tokenizer.encode(prompt) for prompt in prompts], options)
    for prompt, continuation in zip(prompts, found, strict=True):
        tokens = continuation.tokens
        ended = bool(tokens) and tokens[-1] in options.stop_tokens
        click.echo(prompt + tokenizer.decode(tokens[:-1] if ended else tokens))


def _last_checkpoint(catalog: Any) -> str:
    if not catalog.exists("training_report"):
        raise NymphError("nothing was trained yet; run `kedro run --pipelines training`, or name a --checkpoint")
    return str(catalog.load("training_report")["checkpoint"])
