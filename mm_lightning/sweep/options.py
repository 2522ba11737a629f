"""The options of the sweep command. Imports neither Optuna nor torch."""

from dataclasses import dataclass, field
from typing import Any, Literal

from mm_lightning.data.ranges import Count, Seed

# Of a value of type Any that names a class, the parser makes a configuration of the class, with all its defaults.
Setting = bool | int | float | str | list[Any] | dict[str, Any] | None


@dataclass
class SweepOptions:
    """The search.

    Args:
        base: Config file of a fit, from which every trial starts, for example configs/mlp.yaml, or the config.yaml of a
            run.
        space: Settings to search, by dotted key, such as model.network.init_args.hidden_dim. Each is {int: [50, 400]},
            {float: [0.001, 1]} or {choice: [256, 512]}. A range can have log: true, to search each power of ten
            equally, or step: s.
        fixed: Settings of every trial that differ from base, by dotted key. Dotted options of the command, such as
            --data.path FILE, overrule them.
        trials: Number of trials in the study, over all workers and starts, pruned and failed ones included; null for
            the whole grid.
        sampler: tpe proposes settings from the results so far (Tree-structured Parzen Estimator); grid tries every
            combination, in an order set by seed.
        pruner: Rule that ends a trial early, by its val/loss. median ends a trial whose lowest val/loss is above the
            median of the complete trials at the same optimiser step; it begins after a third of trainer.max_steps, once
            five trials are complete. hyperband lets the best third continue at 1/9 and at 1/3 of trainer.max_steps; its
            brackets spare a part of the trials.
        seed: Seed of the sampler. Every trial trains with the seed_everything of base.
        storage: Place that keeps the study. journal is a file that only grows, for any number of workers on a disk.
            sqlite is a file for one worker, as Optuna advises against SQLite for several. The URL of a database, such
            as postgresql://user:password@host/name, is for workers on several machines.
        name: Name of the study, whose folder is lightning_sweeps/NAME; null takes the name of the config file.
    """

    base: str
    space: dict[str, dict[str, Any]]
    fixed: dict[str, Setting] = field(default_factory=dict)
    trials: Count | None = None
    sampler: Literal["tpe", "grid"] = "tpe"
    pruner: Literal["none", "median", "hyperband"] = "none"
    seed: Seed = 42
    storage: str = "journal"
    name: str | None = None
