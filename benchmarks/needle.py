"""Needle retrieval by `tiny` at 4,096 and 32,768 positions, learned on one CPU thread. Torch and numpy are enough.

    OMP_NUM_THREADS=1 python benchmarks/needle.py

One needle, one of 16 tokens that the hay of random tokens never holds, lies anywhere in it but within the windowed
layers' reach of the end; there it is asked for, and the answer is the only target (1 in 16 by chance). Training is at
256, 1,024 and 4,096 positions whose numbers jump (PoSE, arXiv:2309.10400), so that the distances are those of 32,768;
at first the needle is there several times, from half of a stage on once. Retrieval is then measured on hay that was
never seen, at both lengths and without jumps. The last line is JSON.
"""

import argparse
import json
import time

import torch
from torch import Tensor

from nymph.model.config import ObjectiveConfig
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import compute
from nymph.model.presets import preset

HAY, NEEDLES = 47, 16
QUESTION = HAY + NEEDLES
LONGEST = 32768
WINDOW = preset("tiny").window.size
STAGES = ((200, 16, 256, 2e-3, 32), (50, 4, 1024, 1e-3, 4), (30, 2, 4096, 1e-3, 4))
"""Steps, rows, positions, learning rate and copies of the needle at first."""
TEXT_ONLY = ObjectiveConfig(next_audio=0, masked_modality=0, sentiment=0, speaker=0)


def haystacks(rows: int, length: int, jump: bool, copies: int = 1) -> dict[str, Tensor]:
    """Rows of hay with `copies` of a needle, question and answer at the end, and weights on the answer alone."""
    tokens = torch.randint(HAY, (rows, length))
    needle = torch.randint(NEEDLES, (rows,)) + HAY
    places = torch.randint(length - 2 - WINDOW, (rows, copies))
    tokens.scatter_(1, places, needle[:, None].expand(-1, copies))
    tokens[:, -2], tokens[:, -1] = QUESTION, needle
    weight = torch.zeros(rows, length)
    weight[:, -1] = 1
    position = torch.arange(length).repeat(rows, 1)
    return {"tokens": tokens, "loss_weight": weight, "position": position + jumps(rows, length) * jump}


def jumps(rows: int, length: int) -> Tensor:
    """What is added to positions: a few leaps whose sum is at most the longest length's room, log-uniform."""
    room = torch.exp(torch.rand(rows, 1) * torch.log(torch.tensor(float(LONGEST - length))))
    leaps = torch.zeros(rows, length)
    leaps.scatter_(1, torch.randint(length, (rows, 4)), torch.rand(rows, 4))
    share = leaps.cumsum(1) / leaps.sum(1, keepdim=True)
    return (share * room).long()


def learn(model: MultimodalModel, steps: int, rows: int, length: int, rate: float, most: int) -> None:
    """Train with `most` copies of the needle at first, with one from half the way on."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.2)
    model.train()
    for step in range(steps):
        copies = max(1, round(most * (1 - 2 * step / steps)))
        loss, count = compute(model, haystacks(rows, length, True, copies), TEXT_ONLY)["next_token"]
        optimiser.zero_grad()
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % max(1, steps // 10) == 0 or step == steps - 1:
            print(f"{length:6,} positions, step {step:5}: loss {float(loss.detach() / count):.3f}", flush=True)


@torch.inference_mode()
def retrieval(model: MultimodalModel, rows: int, length: int) -> float:
    """Share of questions answered rightly."""
    model.eval()
    right = 0
    for _ in range(rows):
        batch = haystacks(1, length, jump=False)
        right += int(model.logits(model(batch)[0, -2]).argmax() == batch["tokens"][0, -1])
    return right / rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8, help="sequences asked at each length")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = MultimodalModel(preset("tiny", vocabulary_size=QUESTION + 1))
    start = time.process_time()
    for stage in STAGES:
        learn(model, *stage)
    figures = {"training_cpu_seconds": time.process_time() - start}
    for length in (4096, LONGEST):
        figures[f"retrieval_{length}"] = retrieval(model, options.rows, length)
    print(json.dumps({name: float(f"{value:.3g}") for name, value in figures.items()}))


if __name__ == "__main__":
    main()
