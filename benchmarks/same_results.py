"""Do two versions of the code give the same results? Weights, losses and output of every recipe, bit for bit.

    python benchmarks/same_results.py record CHECKOUT FILE.json   # trains each recipe for 200 steps, about 15 minutes
    python benchmarks/same_results.py compare OLD.json NEW.json

A checkout is run by the Python of its own `.venv`. A recipe may have another name in the other version: recipes are
matched by their results. Bits differ between processors, so both versions are recorded on one machine.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

STEPS = 200
ITEMS = ("emma", "olivia", "ava")
SENTENCES = ("the old dog sleeps", "a child sees the house")


def run(checkout: Path, folder: Path, *args: str) -> str:
    """Stdout of a command of this application, without the path of its run."""
    command = [str(checkout / ".venv/bin/python"), "-m", "mm_lightning", *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def fit_options(recipe: str) -> list[str]:
    """Options that end a recipe after `STEPS` steps, in a way that old versions understand too."""
    if "optimizer:" not in recipe:
        return []
    options = ["--trainer.max_steps", str(STEPS)]
    return [*options, "--model.lr_scheduler.init_args.total_steps", str(STEPS)] if "OneCycleLR" in recipe else options


def digest(checkpoint: Path) -> str:
    """Hash of all weights in their order, whatever they are called."""
    result = hashlib.sha256()
    for weight in torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"].values():
        result.update(weight.contiguous().numpy().tobytes())
    return result.hexdigest()


def results(checkout: Path, config: Path) -> dict[str, str]:
    """What a recipe gives: weights, the lines of the run, and the output of the commands that use its checkpoint."""
    recipe = config.read_text(encoding="utf-8")
    items = SENTENCES if "tokens: words" in recipe else ITEMS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = run(checkout, folder, "fit", "--config", str(config), *fit_options(recipe))
        last = "lightning_logs/version_0/checkpoints/last.ckpt"
        sampling = ("--sampling.num_samples", "50")
        return {
            "weights": digest(folder / last),
            "fit": re.sub(r"best checkpoint: .*", "", said.partition("sample from it")[0]),
            "predict": run(checkout, folder, "predict", "--ckpt_path", last, *sampling),
            "predict suffix": run(
                checkout, folder, "predict", "--ckpt_path", last, *sampling, "--sampling.suffix", items[0][-1:]
            )
            if items is ITEMS
            else "",
            "score": run(checkout, folder, "score", "--ckpt_path", last, *items),
            "quality": run(checkout, folder, "quality", "--ckpt_path", last, "--num_samples", "1000"),
        }


def record(checkout: Path, file: Path) -> None:
    """Write the results of all recipes of a checkout."""
    found = {}
    for config in sorted((checkout / "configs").glob("*.yaml")):
        found[config.stem] = results(checkout, config)
        print(config.stem, found[config.stem]["weights"][:16], flush=True)
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def compare(old: Path, new: Path) -> None:
    """Print a line per recipe; end with status 1 if any result differs."""
    before, after = (json.loads(file.read_text(encoding="utf-8")) for file in (old, new))
    by_weights = {found["weights"]: name for name, found in after.items()}
    failed = len(before) != len(after)
    for name, found in before.items():
        match = name if name in after else by_weights.get(found["weights"], "")
        other = after.get(match, {})
        differing = [key for key, value in found.items() if other.get(key) != value]
        failed |= bool(differing)
        print(f"{name:15} {match:20} {'differs: ' + ', '.join(differing) if differing else 'the same'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    verb, first, second = sys.argv[1:]
    record(Path(first).resolve(), Path(second)) if verb == "record" else compare(Path(first), Path(second))
