"""Words from transcripts, names and labels stay words: in Chromium, with the page's own policy and without any."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, expect

from nymph.dashboard.preparation import PREPARATION
from nymph.files import write_json
from nymph.training.events import EVENTS, EventLog

from .browser import PATIENCE_MILLISECONDS
from .conftest import open_log

pytestmark = pytest.mark.slow

RUN = "document.title='PWNED'"
AWAY = "//evil.example/x"
ATTACKS = [
    f"<img src=x onerror={RUN}>",
    f"<IMG SRC=x OnErRoR={RUN}>",
    f"<img src={AWAY}>",
    f"<script>{RUN}</script>",
    f"<script src={AWAY}></script>",
    f"</script><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"<!--><script>{RUN}</script>-->",
    f"]]><script>{RUN}</script>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x></svg>",
    f"<math><mtext><img src=x onerror={RUN}></mtext></math>",
    f"javascript:{RUN}",
    f"data:text/html,<script>{RUN}</script>",
    f'\'"><iframe srcdoc="<script>parent.{RUN}</script>">',
    f'" onmouseover={RUN} autofocus onfocus={RUN} x="',
    f"' onclick={RUN} style='position:fixed;inset:0'",
    f"<a href=javascript:{RUN} autofocus onfocus={RUN}>x</a>",
    f"<input autofocus onfocus={RUN}>",
    f"<details open ontoggle={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<body onload={RUN}>",
    f"<meta http-equiv=refresh content='0;url={AWAY}'>",
    f"<link rel=stylesheet href={AWAY}>",
    f"<style>@import '{AWAY}'; body{{background:url({AWAY})}}</style>",
    f"<base href={AWAY}>",
    f"<form action={AWAY}><button autofocus>x</button></form>",
    f"<object data={AWAY}></object><embed src={AWAY}>",
    "{{constructor.constructor('" + RUN + "')()}}${" + RUN + "}`" + RUN + "`",
    f"\u202e<b>right to left</b>\x1b]0;{RUN}\x07",
    "__proto__",
]


def attack_everywhere(runs: Path, number: int, attack: str) -> None:
    """A run in which everything that is shown is the attack."""
    name = f"{number} {attack.replace('/', '_')}"[:60]
    with open_log(runs, name) as log:
        log.write("start", run=attack, step=0, total_steps=3, device=attack, parameters=attack, job={attack: attack})
        log.write("step", step=1, loss=1.0, losses={attack: 1.0}, **{attack: 2.0})
        log.write("alert", step=1, rule=attack, message=attack)
        log.write("sample", step=1, text=attack, file="samples/00000001-0.json")
        log.write("checkpoint", step=1, path=attack, bytes=1, seconds=1.0, best=False)
        log.write("end", step=1, status=attack, reason=attack)
    sentiment = {"true": attack, "predicted": {attack: 0.5}}
    (runs / name / "samples").mkdir()
    write_json(runs / name / "samples" / "00000001-0.json", {"step": 1, "sentiment": sentiment})


@pytest.mark.parametrize("bypass_csp", [False, True])
def test_hostile_words_stay_words(browser: Browser, address: str, runs: Path, bypass_csp: bool) -> None:
    page, foreign = browser.new_page(bypass_csp=bypass_csp), list[str]()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    errors: list[Error] = []
    page.on("pageerror", lambda error: errors.append(error))
    page.on("request", lambda request: None if request.url.startswith(address) else foreign.append(request.url))
    for number, attack in enumerate(ATTACKS):
        attack_everywhere(runs, number, attack)
    with EventLog(runs / PREPARATION / "now" / EVENTS) as log:
        log.write("start", stages=ATTACKS)
        log.write("node", stage=ATTACKS[0], name=ATTACKS[0])
        log.write("end", status=ATTACKS[1], reason=ATTACKS[3])
    page.goto(address)
    expect(page.locator(".run")).to_have_count(1 + len(ATTACKS))
    for first in range(0, len(ATTACKS), 8):
        while page.locator(".run[aria-pressed=true]").count():
            page.locator(".run[aria-pressed=true]").first.click()
        for number in range(first, min(first + 8, len(ATTACKS))):
            page.locator(".run").nth(number).click()
        expect(page.locator("#alert-list li").first).to_be_visible()
        expect(page.locator("#sample-list li").first).to_be_visible()
    assert page.title() == "Nymph"
    assert foreign == []
    assert errors == []
    page.close()
