"""Operations in their faster form give what torch's own give, within rounding."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from mm_lightning.training.block_steps.decompositions import DECOMPOSITIONS


def decomposed(function, *arguments):
    """The result of a function whose operations are replaced, and the operations."""
    graph = make_fx(function, decomposition_table=DECOMPOSITIONS)(*arguments)
    return graph(*arguments), [str(node.target) for node in graph.graph.nodes]


@pytest.mark.parametrize("columns", [1, 8, 27, 30, 64, 65, 200])
@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_products_are_those_of_torch(columns, is_transposed, has_bias):
    """Catches columns of padding in a result, and one that lies in memory otherwise."""
    torch.manual_seed(0)
    a, b, bias = torch.randn(32, 20), torch.randn(20, columns), torch.randn(columns)
    b = b.t().contiguous().t() if is_transposed else b
    function, arguments = (torch.addmm, (bias, a, b)) if has_bias else (torch.mm, (a, b))
    result, operations = decomposed(function, *arguments)
    torch.testing.assert_close(result, function(*arguments), rtol=1e-5, atol=1e-5)
    assert result.stride() == (columns, 1)
    assert ("aten.constant_pad_nd.default" in operations) == (columns in (1, 27, 30))


def test_other_precisions_are_left_alone():
    """Catches a product in bfloat16 that is rounded twice."""
    a, bias = torch.ones(8, 8, dtype=torch.bfloat16), torch.ones(8, dtype=torch.bfloat16)
    for function, arguments in ((torch.addmm, (bias, a, a)), (torch.mm, (a, a[:, :3])), (torch.tanh, (a,))):
        _, operations = decomposed(function, *arguments)
        assert f"aten.{function.__name__}.default" in operations
    _, operations = decomposed(lambda bias, a: torch.addmm(bias, a, a, beta=2.0), torch.ones(8), torch.ones(8, 8))
    assert "aten.addmm.default" in operations


def test_tanh_is_exact_to_some_units_in_the_last_place():
    """Catches digits that cancel near 0, an overflow far from it, a wrong sign and a gap where the two forms meet."""
    x = torch.cat([torch.linspace(-12, 12, 100_001), torch.logspace(-38, 2, 10_001), torch.tensor([0.0, 0.25, 1e30])])
    x = torch.cat([x, -x])
    result, operations = decomposed(torch.tanh, x)
    exact = x.double().tanh()
    assert "aten.tanh.default" not in operations
    assert float(((result - exact).abs() / exact.abs().clamp(min=1e-45)).max()) < 5e-7
    special = torch.tensor([float("inf"), -float("inf"), float("nan")])
    torch.testing.assert_close(decomposed(torch.tanh, special)[0], special.tanh(), equal_nan=True)
