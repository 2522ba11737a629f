"""Keys of a checkpoint's content, constants so that renaming a class loses nothing."""

FORMAT = 1  # version of the content; raise it where an older version of this package would misread a new file
FORMAT_KEY = "mm_lightning_format"  # absent in files of format 0
DATA = "data"  # state of the datamodule
BEST_CHECKPOINT, RANDOM_STATE, RUN_CONFIG = "best_checkpoint", "random_state", "run_config"  # states of callbacks
PLATEAU = "plateau"  # state of a callback, absent without a schedule that looks at a metric
TRAINED, AVERAGING = "current_model_state", "averaging_state"  # Lightning's, beside averaged weights in state_dict
MADE = "make"  # how `make` or `mix` chose the model; absent in checkpoints of `fit`
CONFIG_KEY = "config"  # the whole configuration of the run as YAML, in the state of the callback
