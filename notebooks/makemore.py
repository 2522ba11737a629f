# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Make more names
#
# This notebook follows the path of the *makemore* lectures. From a list of names, a network learns which letter comes
# next, and then makes names that are not in the list. Each step is a line or two of Python; the work is done by
# `mm_lightning`.
#
# Install the package once, in its folder: `pip install .`. Then run the cells from top to bottom; all of them take
# about a minute. [The guide](../docs/guide.md) goes the same way with commands in a terminal.

# %%
# %matplotlib inline
# %config InlineBackend.print_figure_kwargs = dict(dpi=80)
import math

import mm_lightning as mm

STEPS = 700  # optimiser steps of each training; more steps give better names
NAMES = "data/names.txt"  # comes with the package; put the path of your own list here

# %% [markdown]
# ## 1. Look at the data
#
# The first thing to do with data is to read some of it. The file has one name per line, and some names twice, because
# girls and boys share them.

# %%
names = mm.read(NAMES)
print(f"{len(names):,} names, {len(set(names)):,} different")
print("the first:", *names[:10])
by_length = sorted(set(names), key=lambda name: (len(name), name))
print("the shortest:", *by_length[:5])
print("the longest:", *by_length[-3:])

# %% [markdown]
# ## 2. Count
#
# The simplest model counts pairs: how often does `a` come after `m`? A dot stands for the start and for the end of a
# name. Row and column of the picture are the first and the second letter of a pair.

# %%
counts = mm.fit(NAMES, recipe="bigram_counts")
counts.plot_bigrams()

# %% [markdown]
# A count of the training names, with one added so that no pair is impossible, divided by the sum of its row is a
# probability. These are the five most likely letters after `m`. The key `''` is the end of the name.

# %%
list(counts.next("m").items())[:5]

# %% [markdown]
# The model makes a name letter by letter. It draws each letter with its probability, until it draws the end.

# %%
counts.sample(10)

# %% [markdown]
# Some look like names, most do not: one letter of memory is too little. How good is the model, as a number? The *loss*
# is the mean of minus the logarithm of the probability that the model gives to the letter that really comes next. It is
# measured on `dev`, a tenth of the names that the model has not learned from. A model that knows nothing gives each of
# the 27 signs the same probability.

# %%
print(f"knows nothing: {math.log(27):.4f}")
print(f"counted pairs: {counts.validate()['val/loss']:.4f}")

# %% [markdown]
# ## 3. X and Y
#
# Plain counting of longer contexts fails: there are 27 * 27 * 27 contexts of three letters, and most occur never. The
# recipe `ngram` smooths such counts; here a network learns instead. Its input X is a window of three letters, its
# target Y is the letter that follows. The name `emma` gives five examples.

# %%
emma = mm.windows(["emma"], block_size=3)
emma

# %% [markdown]
# Inside the computer, each letter is a number: the dot is 0, `a` is 1, `z` is 26.

# %%
print(emma.x)
print(emma.y)

# %% [markdown]
# ## 4. A learning rate
#
# The network of Bengio et al. (2003) looks up a vector of ten numbers for each of the three letters, mixes them in 200
# `tanh` units, and gives 27 numbers, one for each possible next letter. Training changes the weights step by step. How
# long should a step be? Try rates from small to large and watch the loss: it falls, then lies flat, then grows.

# %%
rates = mm.lr_find(NAMES, recipe="mlp", settings={"num_steps": max(100, STEPS)})
print(f"suggested learning rate: {rates.suggestion:.2g}")
rates.plot()

# %% [markdown]
# ## 5. Train
#
# The recipe `mlp_fast` trains this network. It uses another optimiser than the one tested above, with rates of its own.
# Every setting has a name, and `settings` changes it.

# %%
model = mm.fit(NAMES, recipe="mlp_fast", settings={"trainer.max_steps": STEPS, "trainer.log_every_n_steps": 10})
print(model)
print(f"loss on dev: {model.validate()['val/loss']:.4f}")

# %% [markdown]
# The curves: `train/loss` on the names that the network learns from, `val/loss` on the names of dev. As long as both
# fall, the network learns something that holds for new names too.

# %%
model.plot_loss()

# %% [markdown]
# ## 6. Look inside
#
# Each letter has become a point in ten dimensions. The picture shows them in two. Letters that play similar parts lie
# near each other. Where are the vowels? Which letter lies alone?

# %%
model.plot_embedding()

# %% [markdown]
# What does the network expect after `em`? Compare with the counts, which see the `m` alone.

# %%
{"network": list(model.next("em").items())[:4], "counts": list(counts.next("em").items())[:4]}

# %% [markdown]
# A surprising name has a high *negative log-likelihood* (`nll`). The last column divides it by the number of letters
# and the end.

# %%
for name in model.score(["emma", "olivia", "xqzw"]):
    print(f"{name.word:8} {name.nll:8.2f} {name.nll_per_char:8.2f}")

# %% [markdown]
# ## 7. Make more
#
# Twenty new names, none of which is in the training list:

# %%
print(*model.sample(20, only_new=True))

# %% [markdown]
# Names that end in `lyn`, that have a double `z`, and that have the pattern `m`, anything, `a`. They are samples of the
# same network, under a condition.

# %%
print(*model.sample(8, suffix="lyn"))
print(*model.sample(8, contains="zz"))
print(*model.sample(8, pattern="m*a", max_length=6))

# %% [markdown]
# The *temperature* sets how bold the network is: low is safe and dull, high is wild.

# %%
for temperature in (0.4, 1.0, 1.6):
    print(f"{temperature}:", *model.sample(8, temperature=temperature))

# %% [markdown]
# ## 8. Beat this number
#
# The lecture ends with a challenge: beat its loss on dev, 2.17 for a list much like this one. Here is yours. Change
# something, run the cell again, and compare: `model.network.init_args.hidden_dim`, the context
# `model.network.init_args.block_size`, more steps, or another recipe such as `mlp_context8` or `gru`. The names are the
# judge in the end; the number is only faster to read.

# %%
settings = {"trainer.max_steps": STEPS, "model.network.init_args.block_size": 5}
mine = mm.fit(NAMES, recipe="mlp_fast", settings=settings)
print(f"before: {model.validate()['val/loss']:.4f}")
print(f"yours:  {mine.validate()['val/loss']:.4f}")
print(*mine.sample(10))

# %% [markdown]
# You chose the best of several models by their loss on dev, so that loss is a little too good. The loss on *test*,
# measured once at the end, is the honest one.

# %%
print(f"on test: {mine.test()['test/loss']:.4f}")
