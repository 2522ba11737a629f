"""The results of a study: a line per trial, a table, a config of the best trial for `fit`, rows for TensorBoard."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml
from optuna.trial import FrozenTrial, TrialState

from mm_lightning.evaluation.text_table import aligned
from mm_lightning.files import make_folder_when_complete, write_atomically
from mm_lightning.sweep.space import Value
from mm_lightning.sweep.study import Study, error_of

_MAX_TABLE_ROWS = 10
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running elsewhere",
}


def describe(study: Study, trial: FrozenTrial) -> str:
    """Describe a finished trial in one line."""
    finished, ranking = study.finished, study.ranking
    if trial.state == TrialState.COMPLETE:
        result = f"val/loss {trial.value:.4f}"
    elif trial.state == TrialState.PRUNED:
        result = f"pruned at step {trial.last_step}, val/loss {trial.value:.4f}"
    else:
        result = f"failed: {error_of(trial)}"
    result += f", best {ranking[0].value:.4f} (trial {ranking[0].number})" if ranking else ""
    names = _short_names(list(trial.params))
    params = ", ".join(f"{names[key]} {_format(value)}" for key, value in trial.params.items())
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    return f"trial {trial.number}, {len(finished)} of {study.plan.num_trials}: {result}; {params}; {seconds:.1f} s"


def summary(study: Study) -> str:
    """Number of trials in each state, a table of the best trials, and the importance of each setting."""
    counts = Counter(_STATES[trial.state] for trial in study.trials)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines = [f"{study.plan.name}: {len(study.finished)} of {study.plan.num_trials} trials are done: {states}"]
    if best := study.ranking[:_MAX_TABLE_ROWS]:
        names = _short_names(list(study.plan.space))
        note = study.plan.loss_note
        rows: list[list[str]] = [["trial", f"val/loss{note and f' {note}'}", *names.values()]]
        rows += [[str(t.number), f"{t.value:.4f}", *(_format(t.params[key]) for key in names)] for t in best]
        lines += ["", *aligned(rows)]
    if importances := study.importances():
        lines += [
            "",
            "what tells the best quarter of the complete trials from the rest, in shares:",
            *(f"  {share:.2f}  {key}" for key, share in importances.items()),
        ]
    return "\n".join(lines)


def write_best(study: Study) -> Path | None:
    """Write the settings of the best trial as a config file; return None if no trial is complete yet.

    Raises:
        UserError: If the file cannot be written.
    """
    if not study.ranking:
        return None
    best, path = study.ranking[0], study.folder / "best.yaml"
    header = f"# Trial {best.number} of the sweep {study.plan.name}. Expect val/loss {best.value:.4f}.\n"
    text = header + yaml.safe_dump(study.plan.settings(best.params), sort_keys=False, allow_unicode=True)
    with write_atomically(path, f"sweep {study.plan.name}") as file:
        file.write(text.encode())
    return path


def write_rows(study: Study) -> None:
    """Write TensorBoard's HPARAMS row and curve of each trial that has a loss and no folder yet."""
    for trial in study.finished:
        folder = study.folder / f"trial_{trial.number}"
        if trial.value is not None and not folder.exists():
            _write_row(trial, folder)


def _write_row(trial: FrozenTrial, folder: Path) -> None:
    from torch.utils.tensorboard.summary import hparams  # noqa: PLC0415 # a sweep that stops at once writes no rows
    from torch.utils.tensorboard.writer import SummaryWriter  # noqa: PLC0415 # as above

    settings = {key: str(value) if value is None else value for key, value in trial.params.items()}
    best_loss = min(trial.intermediate_values.values(), default=trial.value)  # a pruned trial's value is its last
    with make_folder_when_complete(folder) as partial, SummaryWriter(str(partial)) as writer:
        row = {**settings, "state": _STATES[trial.state]}
        for summary in hparams(row, {"val/best_loss": math.nan}):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary)
        for step, loss in sorted(trial.intermediate_values.items()):
            writer.add_scalar("val/loss", loss, step)
        writer.add_scalar("val/best_loss", best_loss, trial.last_step)


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Map each dotted key to its shortest ending that no other key has."""
    result = {}
    for key in keys:
        parts = key.split(".")
        endings = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        own = (e for e in endings if sum(f".{other}".endswith(f".{e}") for other in keys) == 1)
        result[key] = next(own, key)
    return result


def _format(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
