"""Figures: the values behind them and the texts on them."""

import numpy as np
import pytest
import torch

from mm_lightning import plots


def test_a_smoothed_curve_is_a_mean_of_neighbours():
    """Catches a lag, and ends that are pulled to zero."""
    values = np.array([1.0, 2.0, 6.0, 3.0, 8.0])
    assert plots.moving_mean(values, 1) == pytest.approx([1.5, 3, 11 / 3, 17 / 3, 5.5])
    assert plots.moving_mean(values, 0) == pytest.approx(values)
    assert plots.moving_mean(values, 9) == pytest.approx([4.0] * 5)


def test_saturated_units_are_counted():
    """Catches a share of examples instead of units, and outputs of one sign only."""
    activations = torch.tensor([[0, 0, 0, 0], [0.98, -0.98, 0.5, 0], [-0.98, 0.98, -0.96, 0]])
    assert plots.saturated_share(activations) == 4 / 12


def test_symbols_of_any_kind_are_shown_as_they_are(tmp_path):
    """Catches warnings about glyphs, symbols read as formulas, and texts too long for their cells."""
    symbols = [".", "$", "_", "^", "\\", "中", "🚀", "ש", "\u0301", "' '"]
    counts = np.arange(100).reshape(10, 10)
    for figure in (
        plots.embedding_scatter(torch.randn(10, 5), symbols),
        plots.bigram_heat_map(counts, symbols, "symbols"),
    ):
        figure.savefig(tmp_path / "x.png")  # a warning would be an error
    written = [text.get_text() for text in figure.axes[0].texts]
    assert len(written) == 100
    upright = [tick.label2.get_rotation() == 0 for tick in figure.axes[0].xaxis.get_major_ticks()]
    assert upright == [True] * 5 + [False] * 2 + [True] * 2 + [False]  # a long label has no room across
    assert written[12] == "$_\n12"
    assert written[15] == "15"  # there is no room for U+4E2D


def test_names_of_users_are_no_formulas(tmp_path):
    """Catches a title or a legend that is read as math, and warnings about glyphs that the font lacks."""
    name, curve = "a$x_$b 名.txt", plots.Curve(np.array([1, 2]), np.array([3.0, 2.0]))
    heat_map = plots.bigram_heat_map(np.arange(4).reshape(2, 2), [".", "a"], name)
    compared = plots.compared_curves({name: [curve]}, name)
    for figure in (heat_map, compared):
        figure.savefig(tmp_path / "x.png")  # a warning would be an error
        assert figure.axes[0].get_title() == r"a\$x_\$b U+540D.txt"


def test_counts_are_written_in_five_characters():
    """Catches a count that is rounded up to six characters."""
    counts = np.array([[9_999, 10_000], [9_999_499, 9_999_999]])
    axes = plots.bigram_heat_map(counts, [".", "a"], "counts").axes[0]
    assert [text.get_text().split()[-1] for text in axes.texts] == ["9999", "10k", "9999k", "10M"]


def test_a_large_alphabet_has_labels_and_no_counts():
    """Catches cells with overlapping texts, and axes without labels."""
    symbols = [chr(0x21 + i) for i in range(90)]
    axes = plots.bigram_heat_map(np.ones((90, 90), np.int64), symbols, "many").axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == symbols
    assert not axes.texts
    assert len(plots.embedding_scatter(torch.randn(90, 2), symbols).axes[0].texts) == 90


def test_many_matrices_are_rows_and_few_are_lines():
    """Catches a legend of twenty colours, and a missing guide."""
    ratios = {f"layer {i}": np.full(7, -2.0 - i / 10) for i in range(20)}
    rows = plots.update_curves(ratios, 11, "many").axes[0]
    assert rows.images[0].get_array().shape == (20, 7)
    assert rows.images[0].get_extent()[:2] == [10.5, 17.5]
    assert rows.get_yticklabels()[3].get_text() == "layer 3: -2.30"
    lines = plots.update_curves(dict(list(ratios.items())[:2]), 11, "few").axes[0].lines
    assert [line.get_xdata()[0] for line in lines[:2]] == [11, 11]
    assert list(lines[2].get_ydata()) == [-3, -3]


def test_a_divergent_end_does_not_flatten_the_valley():
    """Catches an axis that reaches up to the last loss, and a suggestion that is missing or not in log10."""
    exponents = np.linspace(-3, 0, 100)
    losses = 2.5 + np.square(exponents + 1.5)
    losses[-1] = 1e6
    axes = plots.range_test_curve(10**exponents, losses, losses, 0.01).axes[0]
    assert axes.get_ylim()[1] < 10
    assert axes.lines[0].get_xdata() == pytest.approx(exponents)
    assert axes.lines[2].get_xdata() == pytest.approx([-2, -2])


def test_compared_curves_have_one_entry_for_each_group():
    """Catches a legend with an entry for each seed, and seeds of a group in several colours."""
    curve = plots.Curve(np.array([1, 2]), np.array([3.0, 2.0]))
    (axes,) = plots.compared_curves({"A": [curve, curve], "B": [curve]}, "title").axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["A", "B"]
    colours = [line.get_color() for line in axes.get_lines()]
    assert colours[0] == colours[1] != colours[2]
