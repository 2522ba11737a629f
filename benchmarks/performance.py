"""Run every benchmark and write docs/performance.md, its JSON figures and its picture.

    uv run python benchmarks/performance.py

takes about half an hour on 2 cores. Each finished benchmark adds its figures to docs/performance.json, and a second
start runs only the missing ones. Remove that file to measure everything again.
"""

import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import devices
import growth
import matplotlib as mpl
import process
import sampling
import startup
import step
import throughput
import torch
from machine import machine
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

import data

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs/performance.json"
PAGE = ROOT / "docs/performance.md"
PICTURE = ROOT / "docs/performance.png"
PARTS: dict[str, Callable[[], Any]] = {
    "peak": growth.peak,
    "step": step.measure,
    "data": data.measure,
    "startup": lambda: {command: startup.measure(command) for command in ("--help", "fit --help")},
    "first name": startup.measure_first_name,
    "sampling": sampling.measure,
    "throughput": throughput.measure,
    "growth": growth.measure,
    "lines": growth.measure_data,
    "process": process.measure,
    "devices": devices.measure,
}
_FIRST_NAME = "whole process, processor time: "  # begins a row against the import of torch
Ratios = tuple[float, float, float]  # median, lowest and highest ratio of the rounds


def measure_missing() -> dict[str, Any]:
    """Figures of all benchmarks; the ones without figures run first."""
    figures: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for name, measure in PARTS.items():
        if name not in figures:
            print(f"{name} ...", flush=True)
            figures[name] = measure()
            figures.setdefault("machines", {})[name] = machine()
            FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    return json.loads(FIGURES.read_text())  # type: ignore[no-any-return] # keys as JSON has them


def ratios(ours: list[float], theirs: list[float]) -> Ratios:
    """Median, lowest and highest ratio of the rounds."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(each), min(each), max(each)


def goals(figures: dict[str, Any]) -> list[tuple[str, Ratios, float, float, bool]]:
    """Rows of the table of goals: name, ratios, bar, aim, whether less is better."""
    steps, whole, rates = figures["step"], figures["process"], figures["sampling"]
    lecture = steps["lecture loop"]
    loop, reached = whole["lecture loop, 200,000 steps"], whole["lecture loop to dev 2.17"]
    build = figures["data"]["ratio"]
    rows = [
        ("`fit` per step, compiled blocks", ratios(steps["fit, compiled blocks"], lecture), 0.25, 0.25, True),
        ("`fit`, whole process, cold compile cache", ratios(whole["fit, cold compile cache"], loop), 0.55, 0.55, True),
        ("`fit`, whole process, warm compile cache", ratios(whole["fit, warm compile cache"], loop), 0.3, 0.3, True),
        ("dev 2.17, whole process, `mlp_fast.yaml`", ratios(whole["fit to dev 2.17"], reached), 0.4, 0.2, True),
        ("building X and Y", (build, build, build), 50, 100, False),
        ("names per second, 10,000 names", ratios(rates["sample 10,000"], rates["lecture loop"]), 50, 100, False),
        ("names per second, a million", ratios(rates["sample 1,000,000"], rates["lecture loop"]), 50, 100, False),
    ]
    for (name, both), bar in zip(figures["throughput"].items(), (10, 5, 5, 3), strict=True):
        ratio = ratios(both["fit"], both["plain"])
        rows.append((f"characters trained on per second, {name}", ratio, bar, 2 * bar, False))
    for command, row in figures["startup"].items():
        rows.append((f"`{command}`, whole process", (row["ratio"],) * 3, 1.15, 1.0, True))
    for name, row in figures["first name"].items():
        ratio = ratios(row["ours processor"], row["torch processor"])
        bar, aim = (1.3, 1.0) if name in startup.FIRST_NAME else (0.4, 0.2)
        rows.append((f"{_FIRST_NAME}{name}", ratio, bar, aim, True))
    return rows


def goals_table(figures: dict[str, Any]) -> str:
    """The goals as a Markdown table."""
    lines = ["| what | against | ratio | bar | aim | |", "|---|---|---|---|---|---|"]
    for name, (middle, low, high), bar, aim, less in goals(figures):
        against = "the same design in plain PyTorch" if "trained on" in name else "the lecture's loop"
        against = "importing `lightning.pytorch.cli`" if "--help" in name else against
        against = "importing `torch`" if name.startswith(_FIRST_NAME) else against
        spread = f" ({low:.2f} to {high:.2f})" if low != high else ""
        met = middle <= bar if less else middle >= bar
        reached = middle <= aim if less else middle >= aim
        verdict = "aim reached" if reached else "bar met" if met else "**short of the bar**"
        sign = "≤" if less else "≥"
        lines.append(f"| {name} | {against} | {middle:.2f}{spread} | {sign} {bar:g} | {sign} {aim:g} | {verdict} |")
    return "\n".join(lines)


def absolute_table(figures: dict[str, Any]) -> str:
    """Medians in absolute units as a Markdown table."""
    rows = [(name, statistics.median(v) * 1e6, "µs a step") for name, v in figures["step"].items()]
    rows += [(name, statistics.median(v), "s") for name, v in figures["process"].items()]
    rows += [(name, statistics.median(v), "names a second") for name, v in figures["sampling"].items()]
    rows += [(name, statistics.median(row["ours wall"]), "s") for name, row in figures["first name"].items()]
    for name, both in figures["throughput"].items():
        rows += [(f"{name}, {way}", statistics.median(v), "characters a second") for way, v in both.items()]
    for count, row in figures["lines"].items():
        imports = f"{row['import_seconds']:.1f} s and {row['import_mib']:,.0f} MiB"
        unit = f"s, at most {row['mib']:,.0f} MiB; imports take {imports}"
        rows.append((f"{int(count):,} lines, start to first batch", row["seconds"], unit))
    lines = [f"| {name} | {value:,.{2 if value < 100 else 0}f} | {unit} |" for name, value, unit in rows]
    return "\n".join(["| what | median | |", "|---|---|---|", *lines])


def limit_table(figures: dict[str, Any]) -> str:
    """Operations per second by batch size and width, as shares of the machine's peak, as a Markdown table."""
    lines = ["| step | µs | billion operations a second | of the peak |", "|---|---|---|---|"]
    for name, at in (("batch", lambda n: (n, 200)), ("width", lambda n: (32, n))):
        for size, seconds in figures["growth"][name].items():
            rate = growth.operations(*at(int(size))) / seconds
            lines.append(f"| {name} {size} | {seconds * 1e6:,.0f} | {rate / 1e9:.1f} | {rate / figures['peak']:.0%} |")
    return "\n".join(lines)


def devices_table(figures: dict[str, Any]) -> str:
    """Time and val/loss in one process and in two, as a Markdown table."""
    lines = ["| `fit --config configs/mlp.yaml` | s | val/loss |", "|---|---|---|"]
    for name in filter(figures["devices"].get, devices.WAYS):  # one that is new has no figures yet
        row = figures["devices"][name]
        lines.append(f"| {name} | {row['seconds']:,.0f} | {row['val_loss']:.4f} |")
    return "\n".join(lines)


def plot(figures: dict[str, Any]) -> None:
    """Plot four panels: time by batch size, width, K and number of lines."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = list(figure.subplots(2, 2).flat)
    loop = statistics.median(figures["step"]["lecture loop"]) * 1e6
    both = [(f"steps_per_execution, {way}", way) for way in ("compiled", "not compiled")]
    panels = (
        ("batch size", [("batch", "compiled")], "examples per batch"),
        ("width", [("width", "compiled")], "hidden units"),
        ("K", both, "steps per execution"),
    )
    for ax, (title, curves, label) in zip(axes, panels, strict=False):
        for key, name in curves:
            points = {int(n): s * 1e6 for n, s in figures["growth"][key].items()}
            ax.loglog(points.keys(), points.values(), "o-", label=name)
            ax.set_xticks(list(points), labels=map(str, points))
            ax.minorticks_off()
        ax.axhline(loop, color="grey", ls="--", label="lecture's loop, batch 32, width 200")
        ax.set(title=f"Time of a step by {title}", xlabel=label, ylabel="µs")
        ax.legend(fontsize=8)
    ax = axes[3]
    counts = [int(n) for n in figures["lines"]]
    ax.loglog(counts, [row["seconds"] for row in figures["lines"].values()], "o-")
    ax.set(title="From start to first batch", xlabel="lines of the file", ylabel="s")
    for ax in axes:  # a logarithmic axis has too few ticks over less than a power of ten
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
    figure.savefig(PICTURE, dpi=110)


def machines(figures: dict[str, Any]) -> str:
    """The machine of most parts, and the parts that were measured on another."""
    usual = statistics.mode(figures["machines"].values())
    others = [f"{name}: {place}" for name, place in figures["machines"].items() if place != usual]
    return "; ".join([usual, *others])


def write(figures: dict[str, Any]) -> None:
    """Write the page from its template."""
    template = (ROOT / "benchmarks/performance.template.md").read_text(encoding="utf-8")
    PAGE.write_text(
        template.replace("{{goals}}", goals_table(figures))
        .replace("{{absolute}}", absolute_table(figures))
        .replace("{{limit}}", limit_table(figures))
        .replace("{{devices}}", devices_table(figures))
        .replace("{{processor}}", figures["machines"]["devices"])
        .replace("{{load}}", f"{figures['devices']['load']:.0f}")
        .replace("{{machine}}", machines(figures))
        .replace("{{peak}}", f"{figures['peak'] / 1e9:.0f}"),
        encoding="utf-8",
    )


if __name__ == "__main__":
    os.chdir(ROOT)
    mpl.use("agg")
    torch.set_num_threads(1)
    figures = measure_missing()
    plot(figures)
    write(figures)
