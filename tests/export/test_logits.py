"""The page's logits against those of PyTorch, for every recipe in configs/."""

from pathlib import Path

import pytest
from pages import CONFIGS, enlarge, page_logits, prefixes, torch_logits, trained


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_logits(config: Path, open_page, tmp_path: Path):
    """Catches"""
    model, items = trained(config, tmp_path)
    wanted = prefixes(model, items)
    for factor in (1, 3):
        enlarge(model, factor)
        expected = torch_logits(model, wanted)
        found = page_logits(open_page, model, wanted)
        error = (found - expected[:, None]).abs()
        print(config.stem, factor, f"max {error.max():.2e}", f"mean {error.mean():.2e}", f"spread {float(expected.std(1).mean()):.3f} largest {float(expected.abs().max()):.2f}", "share", float((error<1e-5).double().mean()))
