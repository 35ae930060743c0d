"""Each building block against its definition, written down another way."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from pfd_models import (
    AttentionDownsample,
    BSConvS,
    BSConvU,
    ConvBNAct,
    EmbeddingDownsample,
    HybridStem,
    PaddingFreeDownsample,
    ParCOperator,
    SqueezeExcite,
    create_model,
    orthonormality_regulariser,
)
from pfd_models.errors import SpecError
from pfd_models.layers.bsconv import replace_dense_convolutions
from pfd_models.layers.conv import depthwise, make_divisible
from pfd_models.layers.downsample import padding_free_padding, padding_free_side


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(11)


def lively(module):
    """Make normalisations something other than the identity, and the module ready to compare."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return module.double().eval().requires_grad_(False)


def images(*shape):
    return torch.randn(*shape, dtype=torch.float64)


# ---- convolution stacks ----


def test_conv_bn_act_keeps_the_size_and_its_order():
    block = lively(ConvBNAct(3, 5, 5, act=nn.ReLU6))
    x = images(2, 3, 7, 9)
    assert [name for name, _ in block.named_children()] == ["conv", "bn", "act"]
    assert block.conv.bias is None
    torch.testing.assert_close(block(x), functional.relu6(block.bn(block.conv(x))))
    assert block(x).shape == (2, 5, 7, 9)


def test_without_activation_values_stay_negative():
    assert (lively(ConvBNAct(3, 5, 3, act=None))(images(1, 3, 5, 5)) < 0).any()


@pytest.mark.parametrize(
    ("value", "divisor", "rounded"),
    [(18, 8, 24), (18, 4, 20), (30, 4, 32), (16, 8, 16), (3, 8, 8), (0, 8, 8), (12, 8, 16)],
)
def test_channels_are_rounded_without_losing_a_tenth(value, divisor, rounded):
    assert make_divisible(value, divisor) == rounded


# ---- downsampling ----


@pytest.mark.parametrize("side", range(3, 20))
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_body_and_pool_end_on_one_size(side, kernel):
    padding = padding_free_padding(kernel)
    down = PaddingFreeDownsample(
        depthwise(4, kernel, stride=2, padding=padding), pool_kernel=kernel, pool_padding=padding
    )
    assert down(torch.randn(1, 4, side, side)).shape[2] == padding_free_side(side)


def test_the_pool_takes_the_bodys_input_and_is_added_after_it():
    body = lively(ConvBNAct(4, 4, 3, stride=2, padding=0, groups=4, act=nn.ReLU6))
    x = images(2, 4, 9, 9) * 9
    out = PaddingFreeDownsample(body)(x)
    windows = x.unfold(2, 3, 2).unfold(3, 3, 2).amax(dim=(4, 5))
    torch.testing.assert_close(out, body(x) + windows)
    assert out.max() > 6  # what the body's activation clipped, the pool adds unclipped


def test_a_projection_sees_only_the_pool():
    body = nn.Conv2d(3, 8, 3, stride=2, bias=False).double()
    project = nn.Conv2d(3, 8, 1, bias=False).double()
    x = images(1, 3, 8, 8)
    out = PaddingFreeDownsample(body, project=project)(x)
    torch.testing.assert_close(out, body(x) + project(functional.max_pool2d(x, 3, 2)))


@pytest.mark.parametrize("kernel", [1, 2, 4, 0, -3])
def test_kernels_without_a_padding_are_refused(kernel):
    with pytest.raises(SpecError, match=f"odd kernel of at least 3, got {kernel}"):
        padding_free_padding(kernel)


# ---- stem ----


@pytest.mark.parametrize("residual", [False, True])
def test_the_stem_puts_the_depthwise_branch_first(residual):
    stem = lively(HybridStem(6, act=nn.Hardswish, residual=residual))
    x = images(2, 3, 8, 8)
    first = functional.hardswish(stem.first.bn(stem.first.conv(x)))
    branch = functional.hardswish(stem.branch.bn(stem.branch.conv(first)))
    pool = functional.max_pool2d(first, 3, 1, 1)
    fused = functional.hardswish(stem.fuse.bn(stem.fuse.conv(torch.cat([branch, pool], 1))))
    torch.testing.assert_close(stem(x), fused + first if residual else fused)


def test_a_preactivated_stem_normalises_first_and_ends_on_a_convolution():
    stem = lively(HybridStem(6, act=nn.ReLU, residual=True, preactivation=True))
    x = images(2, 3, 8, 8)
    first = stem.first(x)
    branch = stem.branch.conv(functional.relu(stem.branch.bn(first)))
    both = torch.cat([branch, functional.max_pool2d(first, 3, 1, 1)], 1)
    torch.testing.assert_close(stem(x), stem.fuse.conv(functional.relu(stem.fuse.bn(both))) + first)
    assert isinstance(stem.first, nn.Conv2d)


@pytest.mark.parametrize(
    ("stride", "branch_stride", "side"), [(1, 1, 32), (2, 1, 16), (2, 2, 8), (1, 2, 16)]
)
def test_strides_of_the_stem(stride, branch_stride, side):
    stem = HybridStem(8, act=nn.ReLU, stride=stride, branch_stride=branch_stride)
    assert stem(torch.randn(1, 3, 32, 32)).shape == (1, 8, side, side)


def test_the_stems_normalisations_have_pytorchs_defaults_in_every_network():
    norms = [
        m for m in create_model("mobilenetv3_large_set2").modules() if type(m) is nn.BatchNorm2d
    ]
    stem = [
        m
        for m in create_model("mobilenetv3_large_set2").stem.modules()
        if type(m) is nn.BatchNorm2d
    ]
    assert {(m.eps, m.momentum) for m in stem} == {(1e-5, 0.1)}
    assert {(m.eps, m.momentum) for m in norms} == {(1e-5, 0.1), (1e-3, 0.01)}


# ---- squeeze and excite ----


def test_squeeze_excite_gates_channels_by_their_means():
    block = lively(SqueezeExcite(6, 2))
    x = images(2, 6, 5, 4) * 5
    mean = x.mean((2, 3))
    hidden = functional.relu(mean @ block.reduce.weight[:, :, 0, 0].T + block.reduce.bias)
    logits = hidden @ block.expand.weight[:, :, 0, 0].T + block.expand.bias
    gate = functional.relu6(logits + 3) / 6
    torch.testing.assert_close(block(x), x * gate[:, :, None, None])
    assert gate.std() > 0


# ---- blueprint separable convolutions ----


def test_bsconv_u_is_a_dense_convolution_with_one_blueprint_a_filter():
    block = BSConvU(4, 6, 3, stride=2, padding=1, bias=True).double()
    kernel = block.pointwise.weight * block.depthwise.weight  # (6, 4, 1, 1) * (6, 1, 3, 3)
    x = images(2, 4, 9, 9)
    want = functional.conv2d(x, kernel, block.depthwise.bias, stride=2, padding=1)
    torch.testing.assert_close(block(x), want)


def test_bsconv_s_factorises_the_blueprints():
    block = BSConvS(12, 6, 5, padding=2, bias=False, p=0.5, with_bn=False).double()
    pointwise = block.expand.weight[:, :, 0, 0] @ block.reduce.weight[:, :, 0, 0]
    kernel = pointwise[:, :, None, None] * block.depthwise.weight
    x = images(1, 12, 8, 8)
    torch.testing.assert_close(block(x), functional.conv2d(x, kernel, padding=2))
    assert block.orthonormal_weight().shape == (6, 12)


@pytest.mark.parametrize(("channels", "p", "mid"), [(60, 1 / 6, 10), (16, 0.1, 4), (3, 0.5, 3)])
def test_the_subspace_has_at_least_four_channels_and_no_more_than_there_are(channels, p, mid):
    block = BSConvS(channels, 8, 3, p=p)
    assert block.orthonormal_weight().shape == (mid, channels)
    assert [n for n, _ in block.named_children()] == [
        *("reduce", "reduce_bn", "expand", "expand_bn", "depthwise")
    ]


@pytest.mark.parametrize("p", [0, -0.5, 1.5])
def test_an_impossible_subspace_is_refused(p):
    with pytest.raises(SpecError, match=r"p in \(0, 1\]"):
        BSConvS(8, 8, 3, p=p)


def test_replacement_takes_dense_3x3_and_5x5_and_nothing_else():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.Sequential(nn.Conv2d(8, 8, 5, dilation=2), nn.Conv2d(8, 8, 3, groups=8)),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 7, padding=3),
    )
    x = torch.randn(1, 3, 40, 40)
    shape = model(x).shape
    replace_dense_convolutions(model, BSConvU)
    kinds = [type(m).__name__ for m in (model[0], model[1][0], model[1][1], model[2], model[3])]
    assert kinds == ["BSConvU", "BSConvU", "Conv2d", "Conv2d", "Conv2d"]
    assert model[0].depthwise.bias is None
    assert model[1][0].depthwise.bias is not None
    assert model(x).shape == shape


def test_the_regulariser_is_the_distance_from_orthonormal_rows():
    block = BSConvS(8, 8, 3, p=0.5)
    weight = block.orthonormal_weight()
    want = (weight @ weight.T - torch.eye(4)).square().sum().sqrt()
    torch.testing.assert_close(orthonormality_regulariser(nn.Sequential(block, block)), want)
    torch.testing.assert_close(
        orthonormality_regulariser(nn.ModuleList([block, copy.deepcopy(block)])), 2 * want
    )
    with torch.no_grad():
        block.reduce.weight[:, :, 0, 0] = torch.linalg.qr(torch.randn(8, 4)).Q.T
    assert orthonormality_regulariser(block) < 1e-5


def test_only_the_bsconv_s_form_of_mobilenetv3_is_regularised():
    torch.manual_seed(0)
    plain = create_model("mobilenetv3_large")
    torch.manual_seed(0)
    regularised = create_model("mobilenetv3_large_bsconvs")
    a, b = plain.state_dict(), regularised.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert len(a) == len(b)
    assert plain.regularisation_loss() == 0
    weights = [block.project.conv.weight[:, :, 0, 0] for block in regularised.blocks]
    want = sum((w @ w.T - torch.eye(len(w))).norm() for w in weights)
    loss = regularised.regularisation_loss()
    torch.testing.assert_close(loss, want)
    loss.backward()
    trained = {n for n, p in regularised.named_parameters() if p.grad is not None}
    assert trained == {f"blocks.{i}.project.conv.weight" for i in range(15)}


# ---- circular convolution ----


@pytest.mark.parametrize("embed", [False, True])
@pytest.mark.parametrize("axis", ["height", "width"])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_circular_convolution_wraps_around(axis, length, embed):
    operator = ParCOperator(3, length, axis=axis, embed_position=embed).double()
    x = images(2, 3, length, length)
    y = x if operator.position is None else x + operator.position
    dim = 2 if axis == "height" else 3
    taps = operator.conv.weight.reshape(3, length)
    want = operator.conv.bias.reshape(1, 3, 1, 1) + sum(
        taps[:, k].reshape(1, 3, 1, 1) * torch.roll(y, -k, dims=dim) for k in range(length)
    )
    torch.testing.assert_close(operator(x), want)


def test_circular_convolution_refuses_another_size():
    with pytest.raises(SpecError, match="of length 5 got a map of 6x5; build the model with"):
        ParCOperator(3, 5, axis="height", embed_position=False)(torch.randn(1, 3, 6, 5))


# ---- attention downsampling ----


def attention_by_definition(block, x):
    batch, _, side, _ = x.shape
    half = (side + 1) // 2
    query = block.query(block.query_local(x) + x[:, :, ::2, ::2]).reshape(batch, 8, 16, -1)
    key = block.key(x).reshape(batch, 8, 16, -1)
    value = block.value(x)
    numbers, bias = {}, torch.zeros(8, half * half, side * side, dtype=x.dtype)
    for q in range(half * half):
        for k in range(side * side):
            offset = (abs(2 * (q // half) - k // side), abs(2 * (q % half) - k % side))
            bias[:, q, k] = block.bias[:, numbers.setdefault(offset, len(numbers))]
    scores = torch.einsum("nhdq,nhdk->nhqk", query, key) / 4 + bias
    attended = torch.einsum("nhqk,nhvk->nhvq", scores.softmax(-1), value.reshape(batch, 8, 64, -1))
    mixed = attended.reshape(batch, 512, half, half) + block.value_local(value)
    return block.project(functional.gelu(mixed))


@pytest.mark.parametrize("side", [4, 7])
def test_attention_is_its_definition(side):
    block = lively(AttentionDownsample(5, 9, side=side))
    nn.init.normal_(block.bias)
    block.refresh()
    x = images(2, 5, side, side)
    assert block.bias.shape == (8, side * side)
    want = attention_by_definition(block, x)
    torch.testing.assert_close(block(x), want)
    nn.init.zeros_(block.bias)
    assert not torch.allclose(attention_by_definition(block, x), want)


def test_the_embedding_adds_what_attends():
    block = lively(EmbeddingDownsample(5, 9, attention_side=6))
    plain = EmbeddingDownsample(5, 9, attention_side=None)
    x = images(1, 5, 6, 6)
    torch.testing.assert_close(block(x), block.embed.bn(block.embed.conv(x)) + block.attention(x))
    assert plain.attention is None
    assert plain(torch.randn(2, 5, 7, 7)).shape == (2, 9, 4, 4)


def test_the_gathered_bias_follows_mode_and_weights():
    block = AttentionDownsample(4, 4, side=4)
    assert block.gathered_bias is None
    assert block.eval().gathered_bias.shape == (8, 4, 16)
    state = block.state_dict()
    assert "gathered_bias" not in state
    assert "bias_index" not in state
    state["bias"] = torch.randn(8, 16)
    nn.ModuleList([block]).load_state_dict({f"0.{k}": v for k, v in state.items()})
    torch.testing.assert_close(block.gathered_bias, state["bias"][:, block.bias_index])
    assert not block.gathered_bias.requires_grad
    assert block.train().gathered_bias is None
    with torch.no_grad():
        block.bias.add_(1)
    torch.testing.assert_close(block.eval().gathered_bias, block.bias[:, block.bias_index])


def test_training_and_evaluation_attend_alike():
    block = AttentionDownsample(4, 4, side=4)
    nn.init.normal_(block.bias)
    for part in block.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.track_running_stats = False
            part.running_mean = part.running_var = None
    x = torch.randn(3, 4, 4, 4)
    torch.testing.assert_close(block.train()(x), block.eval()(x))


def test_an_exported_network_gathers_nothing():
    program = torch.export.export(
        create_model("shufflenetv2", "efv2").eval(), (torch.randn(1, 3, 32, 32),)
    )
    targets = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
    assert "aten.bmm.default" in targets
    assert not any("index" in target or "gather" in target for target in targets)
    assert any("gathered_bias" in name for name in program.constants)
