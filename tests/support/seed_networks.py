"""The paper's networks once more, as plain functions on a state dict in the reference's naming.

Independent of pfd_models: written from the architecture tables, with torch.nn.functional only.
Running one on an image invents each weight the first time it is read, so that one run gives both
a state dict with the reference's keys and the output that it must produce.

``choices`` names deliberate mistakes: each function asks ``net.choose(question, right answer)``
where an order is invisible to counts.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


class Net:
    """Weights by name, invented on first use and random in everything, statistics included."""

    def __init__(
        self,
        weights=None,
        *,
        stem=False,
        down=False,
        efv2=False,
        small=True,
        classes=100,
        **choices,
    ):
        self.weights = {} if weights is None else weights
        self.stem, self.down, self.efv2, self.small = stem, down, efv2, small
        self.classes = classes
        self.choices = choices
        self.asked = set()
        self.generator = torch.Generator().manual_seed(1)

    def choose(self, question, right):
        self.asked.add(question)
        return self.choices.get(question, right)

    def tensor(self, name, *shape, scale=1.0, shift=0.0):
        if name not in self.weights:
            values = torch.randn(*shape, generator=self.generator, dtype=torch.float64)
            self.weights[name] = values * scale + shift
        assert tuple(self.weights[name].shape) == shape, name
        return self.weights[name]

    def conv(self, name, x, channels, kernel, stride=1, padding=None, groups=1, bias=False):
        kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        fan_in = x.shape[1] // groups * kh * kw
        w = self.tensor(
            f"{name}.weight", channels, x.shape[1] // groups, kh, kw, scale=(3 / fan_in) ** 0.5
        )
        b = self.tensor(f"{name}.bias", channels, scale=0.3) if bias else None
        padding = kh // 2 if padding is None else padding
        return F.conv2d(x, w, b, stride=stride, padding=padding, groups=groups)

    def bn(self, name, x, eps=1e-5):
        c = x.shape[1]
        weight = self.tensor(f"{name}.weight", c, scale=0.2, shift=1.0)
        bias = self.tensor(f"{name}.bias", c, scale=0.3)
        mean = self.tensor(f"{name}.running_mean", c, scale=0.3)
        var = self.tensor(f"{name}.running_var", c, scale=0.2, shift=1.0).clamp_(min=0.1)
        self.weights.setdefault(f"{name}.num_batches_tracked", torch.tensor(5))
        return F.batch_norm(x, mean, var, weight, bias, eps=eps)

    def linear(self, name, x, features):
        w = self.tensor(f"{name}.weight", features, x.shape[1], scale=x.shape[1] ** -0.5)
        return F.linear(x, w, self.tensor(f"{name}.bias", features, scale=0.3))


def identity(x):
    return x


def hswish_by_relu6(x):
    return x * F.relu6(x + 3) / 6


def hsigmoid_by_relu6(x):
    return F.relu6(x + 3) / 6


def divisible(value, divisor):
    new = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return new + divisor if new < 0.9 * value else new


def conv_bn_act(net, x, conv, bn, act, *shape, eps=1e-5, **options):
    return act(net.bn(bn, net.conv(conv, x, *shape, **options), eps=eps))


def padding_free(net, x, conv, norm, act, *, at, pool=3, project=identity):
    """conv/norm/act in this order with the max pool of x added ``at`` one of them."""
    at = net.choose("add_at", at)
    pooled = project(F.max_pool2d(x, pool, 2, padding=(pool - 3) // 2))
    for name, step in (("conv", conv), ("norm", norm), ("act", act)):
        x = step(x)
        x = x + pooled if name == at else x
    return x


def hybrid_stem(net, x, name, layers, act, channels, stride=1, branch_stride=1, eps=1e-5):
    """``layers`` gives the names of convolution and normalisation inside each of the parts."""
    conv, bn = layers
    part = lambda p, y, *shape, **o: conv_bn_act(  # noqa: E731
        net, y, f"{name}.{p}.{conv}", f"{name}.{p}.{bn}", act, *shape, eps=eps, **o
    )
    s = part("stem_1", x, channels, 3, stride=stride)
    a = part("stem_1_1", s, channels, 3, stride=branch_stride, groups=channels)
    b = F.max_pool2d(s, 3, branch_stride, padding=1)
    both = [a, b] if net.choose("stem_order", "depthwise first") == "depthwise first" else [b, a]
    out = part("stem_3", torch.cat(both, 1), channels, 1)
    return out + s if net.choose("stem_residual", False) and out.shape == s.shape else out


def embedding(net, x, name, channels, attends, eps=1e-5):
    """EfficientFormerV2's downsampling."""
    if not attends:
        return net.bn(f"{name}.norm", net.conv(f"{name}.proj", x, channels, 3, 2, bias=True), eps)
    n, c, side, _ = x.shape
    half, heads, key, value = (side + 1) // 2, 8, 16, 64
    a = f"{name}.attn"
    local = net.conv(f"{a}.q.local.0", x, c, 3, 2, groups=c, bias=True)
    q = net.bn(
        f"{a}.q.proj.1", net.conv(f"{a}.q.proj.0", local + x[:, :, ::2, ::2], 128, 1, bias=True)
    )
    k = net.bn(f"{a}.k.1", net.conv(f"{a}.k.0", x, 128, 1, bias=True))
    v = net.bn(f"{a}.v.1", net.conv(f"{a}.v.0", x, 512, 1, bias=True))
    v_local = net.bn(
        f"{a}.v_local.1", net.conv(f"{a}.v_local.0", v, 512, 3, 2, groups=512, bias=True)
    )
    seen = {}
    index = torch.empty(half * half, side * side, dtype=torch.long)
    for i in range(half * half):
        for j in range(side * side):
            offset = (abs(2 * (i // half) - j // side), abs(2 * (i % half) - j % side))
            index[i, j] = seen.setdefault(offset, len(seen))
    net.weights[f"{a}.attention_bias_idxs"] = index
    bias = net.tensor(f"{a}.attention_biases", heads, len(seen))
    q = q.reshape(n, heads, key, half * half).transpose(2, 3)
    k = k.reshape(n, heads, key, side * side)
    v = v.reshape(n, heads, value, side * side).transpose(2, 3)
    scores = (q @ k * key**-0.5 + bias[:, index]).softmax(-1)
    out = (scores @ v).transpose(2, 3).reshape(n, 512, half, half) + v_local
    out = net.bn(f"{a}.proj.2", net.conv(f"{a}.proj.1", F.gelu(out), channels, 1, bias=True))
    return out + net.bn(f"{name}.bn", net.conv(f"{name}.conv", x, channels, 3, 2, bias=True), eps)


# kernel, expanded, out, squeeze-and-excite, activation, stride (row 1's is 1 at 32x32)
MOBILENETV3 = (
    (3, 16, 16, 0, "RE", 1), (3, 64, 24, 0, "RE", 2), (3, 72, 24, 0, "RE", 1),
    (5, 72, 40, 1, "RE", 2), (5, 120, 40, 1, "RE", 1), (5, 120, 40, 1, "RE", 1),
    (3, 240, 80, 0, "HS", 2), (3, 200, 80, 0, "HS", 1), (3, 184, 80, 0, "HS", 1),
    (3, 184, 80, 0, "HS", 1), (3, 480, 112, 1, "HS", 1), (3, 672, 112, 1, "HS", 1),
    (5, 672, 160, 1, "HS", 2), (5, 960, 160, 1, "HS", 1), (5, 960, 160, 1, "HS", 1),
)  # fmt: skip


def mobilenetv3_set2(net, x, layers=None):
    conv, bn = layers or (("conv", "norm") if net.down else ("0", "1"))
    eps = 1e-3
    stack = lambda name, y, act, *shape, **o: conv_bn_act(  # noqa: E731
        net, y, f"{name}.{conv}", f"{name}.{bn}", act, *shape, eps=eps, **o
    )
    stride = 1 if net.small else 2
    if net.stem:
        x = hybrid_stem(
            net,
            x,
            "features.0",
            (conv, bn),
            F.hardswish,
            16,
            stride,
            eps=net.choose("stem_eps", 1e-5),
        )
    else:
        x = stack("features.0", x, F.hardswish, 16, 3, stride=stride)
    halvings = 0
    for i, (k, exp, out, se, act, s) in enumerate(MOBILENETV3, 1):
        s = 1 if net.small and i == 2 else s
        act = F.hardswish if act == "HS" else F.relu
        residual, part, name = x, 0, f"features.{i}.block"
        if s == 2 and net.efv2:
            x = embedding(net, x, f"{name}.0.0", out, halvings > 0, eps=1e-3)
            halvings += 1
            continue
        if exp != x.shape[1]:
            x, part = stack(f"{name}.0", x, act, exp, 1), 1
        depthwise = f"{name}.{part}"
        squeeze = lambda y, at=f"{name}.{part + 1}", c=exp: _excite(  # noqa: E731
            net, y, f"{at}.fc1", f"{at}.fc2", divisible(c // 4, 8), F.hardsigmoid
        )
        if s == 2 and net.down:
            early = se and net.choose("squeeze", "after the sum") == "before the sum"
            x = padding_free(
                net,
                x,
                lambda y, d=depthwise, c=exp, k=k: net.conv(
                    f"{d}.{conv}", y, c, k, 2, (k - 3) // 2, c
                ),
                lambda y, d=depthwise: net.bn(f"{d}.{bn}", y, eps),
                (lambda y, f=act, g=squeeze: g(f(y))) if early else act,
                at="act",
                pool=net.choose("pool", 3) if k == 5 else 3,
            )
            se_done = early
        else:
            x, se_done = stack(depthwise, x, act, exp, k, stride=s, groups=exp), False
        x = squeeze(x) if se and not se_done else x
        x = stack(f"{name}.{part + 1 + se}", x, identity, out, 1)
        x = x + residual if s == 1 and residual.shape == x.shape else x
    x = stack("features.16", x, F.hardswish, 960, 1).mean((2, 3))
    return net.linear("classifier.3", F.hardswish(net.linear("classifier.0", x, 1280)), net.classes)


def _excite(net, x, reduce, expand, channels, gate):
    s = F.relu(net.conv(reduce, x.mean((2, 3), keepdim=True), channels, 1, bias=True))
    return x * gate(net.conv(expand, s, x.shape[1], 1, bias=True))


def mobilenetv3_set1(net, x, full_head=False):
    x = net.bn("backbone.data_bn", x)
    stack = lambda name, y, act, *shape, **o: conv_bn_act(  # noqa: E731
        net, y, f"{name}.conv", f"{name}.bn", act, *shape, **o
    )
    stride = 1 if net.small else 2
    if net.stem:
        x = hybrid_stem(net, x, "backbone.init_conv", ("conv", "bn"), hswish_by_relu6, 16, stride)
    else:
        x = stack("backbone.init_conv", x, hswish_by_relu6, 16, 3, stride=stride)
    units = [(s, u) for s, n in enumerate((1, 2, 3, 6, 3), 1) for u in range(1, n + 1)]
    for i, ((stage, unit), (k, exp, out, se, act, s)) in enumerate(
        zip(units, MOBILENETV3, strict=True)
    ):
        s = 1 if net.small and i == 1 else s
        name, residual = f"backbone.stage{stage}.unit{unit}", x
        act = hswish_by_relu6 if act == "HS" else F.relu
        x = stack(f"{name}.conv1", x, act, exp, 1)
        if s == 2 and net.down:
            x = padding_free(
                net,
                x,
                lambda y, n=name, c=exp, k=k: net.conv(
                    f"{n}.conv2.conv", y, c, k, 2, (k - 3) // 2, c
                ),
                lambda y, n=name: net.bn(f"{n}.conv2.bn", y),
                act,
                at="act",
            )
        else:
            x = stack(f"{name}.conv2", x, act, exp, k, stride=s, groups=exp)
        if se:
            x = _excite(
                net,
                x,
                f"{name}.se_unit.conv1",
                f"{name}.se_unit.conv2",
                exp // 4,
                hsigmoid_by_relu6,
            )
        x = stack(f"{name}.conv3", x, identity, out, 1)
        x = x + residual if s == 1 and residual.shape == x.shape else x
    x = stack("backbone.final_conv1", x, hswish_by_relu6, 960, 1).mean((2, 3), keepdim=True)
    if full_head:
        x = hswish_by_relu6(net.conv("backbone.final_conv2.conv", x, 1280, 1))
    return net.conv("classifier.conv", x, net.classes, 1, bias=True).flatten(1)


def parc_mobilenetv2(net, x, layers=None, stem_layers=None):
    conv, bn = layers or (("0", "1") if net.efv2 else ("conv", "norm"))
    stack = lambda name, y, act, *shape, **o: conv_bn_act(  # noqa: E731
        net, y, f"{name}.{conv}", f"{name}.{bn}", act, *shape, **o
    )
    stride = 1 if net.small else 2
    if net.stem:
        x = hybrid_stem(net, x, "features.0", stem_layers or (conv, bn), F.relu6, 32, stride)
    else:
        x = stack("features.0", x, F.relu6, 32, 3, stride=stride)
    number, halvings = 0, 0
    for t, c, n, s, g in (
        (1, 16, 1, 1, 1), (6, 24, 2, 2, 2), (6, 32, 3, 2, 3), (6, 64, 4, 2, 2),
        (6, 96, 3, 1, 2), (6, 160, 3, 2, 2), (6, 320, 1, 1, 1),
    ):  # fmt: skip
        s = 1 if net.small and c == 24 else s
        for i in range(n):
            number += 1
            name, residual, mid = f"features.{number}", x, x.shape[1] * t
            step = s if i == 0 else 1
            if i >= g:
                x = _circular(net, x, name, (conv, bn), mid, i == g)
            elif step == 2 and net.efv2:
                x = embedding(net, x, f"{name}.conv.0", c, halvings > 0)
                halvings += 1
            else:
                part = 0
                if t != 1:
                    x, part = stack(f"{name}.conv.0", x, F.relu6, mid, 1), 1
                dw = f"{name}.conv.{part}"
                if step == 2 and net.down:
                    x = padding_free(
                        net,
                        x,
                        lambda y, d=dw, m=mid: net.conv(f"{d}.{conv}", y, m, 3, 2, 0, m),
                        lambda y, d=dw: net.bn(f"{d}.{bn}", y),
                        F.relu6,
                        at="act",
                    )
                else:
                    x = stack(dw, x, F.relu6, mid, 3, stride=step, groups=mid)
                x = net.bn(f"{name}.conv.{part + 2}", net.conv(f"{name}.conv.{part + 1}", x, c, 1))
            if step == 1 and residual.shape == x.shape:
                x = x + residual
    x = stack(f"features.{number + 1}", x, F.relu6, 1280, 1).mean((2, 3))
    return net.linear("classifier.1", x, net.classes)


def _circular(net, x, name, layers, mid, positions):
    channels = x.shape[1]
    conv, bn = layers
    x = conv_bn_act(net, x, f"{name}.pw_expand.{conv}", f"{name}.pw_expand.{bn}", F.relu6, mid, 1)
    side, half = x.shape[2], mid // 2
    first, second = x[:, :half], x[:, half:]
    if net.choose("halves", "first along H") != "first along H":
        first, second = second, first
    if positions:
        first = first + net.tensor(f"{name}.gcc_H.pe", 1, half, side, 1, scale=0.5)
        second = second + net.tensor(f"{name}.gcc_W.pe", 1, half, 1, side, scale=0.5)
    out = [
        net.conv(f"{name}.gcc_{axis}.gcc_conv", y, half, kernel, padding=0, groups=half, bias=True)
        for axis, y, kernel in (
            ("H", torch.cat([first, first[:, :, :-1]], 2), (side, 1)),
            ("W", torch.cat([second, second[..., :-1]], 3), (1, side)),
        )
    ]
    x = F.relu6(net.bn(f"{name}.bn", torch.cat(out, 1)))
    return net.bn(f"{name}.pw_linear.1", net.conv(f"{name}.pw_linear.0", x, channels, 1))


GHOSTNET = (
    ((3, 16, 16, 0, 1),), ((3, 48, 24, 0, 2),), ((3, 72, 24, 0, 1),), ((5, 72, 40, 1, 2),),
    ((5, 120, 40, 1, 1),), ((3, 240, 80, 0, 2),),
    ((3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1),
     (3, 480, 112, 1, 1), (3, 672, 112, 1, 1)),
    ((5, 672, 160, 1, 2),),
    ((5, 960, 160, 0, 1), (5, 960, 160, 1, 1), (5, 960, 160, 0, 1), (5, 960, 160, 1, 1)),
)  # fmt: skip


def ghostnet(net, x):
    stride = 1 if net.small else 2
    if net.stem:
        x = hybrid_stem(net, x, "conv_stem", ("0", "1"), F.relu, 16, stride)
        if net.down:
            net.bn("bn1", x)  # registered and never called in the reference
    else:
        x = conv_bn_act(net, x, "conv_stem", "bn1", F.relu, 16, 3, stride=stride)
    halvings = 0
    for stage, rows in enumerate(GHOSTNET):
        for unit, (k, exp, out, se, s) in enumerate(rows):
            s = 1 if net.small and stage == 1 else s
            name = f"blocks.{stage}.{unit}"
            if s == 2 and net.efv2:
                x = embedding(net, x, f"{name}.downsampling", out, halvings > 0)
                halvings += 1
            else:
                x = _ghost_bottleneck(net, x, name, k, exp, out, se, s)
    x = conv_bn_act(net, x, "blocks.9.0.conv", "blocks.9.0.bn1", F.relu, 960, 1)
    x = F.relu(net.conv("conv_head", x.mean((2, 3), keepdim=True), 1280, 1, bias=True)).flatten(1)
    return net.linear("classifier", x, net.classes)


def _ghost_bottleneck(net, x, name, k, exp, out, se, s):
    bare, padding = x, (k - 3) // 2 if net.down and s == 2 else k // 2
    x = _ghost_module(net, x, f"{name}.ghost1", exp, F.relu)
    if s == 2:
        conv = lambda y: net.conv(f"{name}.conv_dw", y, exp, k, 2, padding, exp)  # noqa: E731
        norm = lambda y: net.bn(f"{name}.bn_dw", y)  # noqa: E731
        if net.down:
            pool = k if net.choose("pool", "as the kernel") == "as the kernel" else 3
            x = padding_free(net, x, conv, norm, identity, at="norm", pool=pool)
        else:
            x = norm(conv(x))
    if se:
        x = _excite(
            net,
            x,
            f"{name}.se.conv_reduce",
            f"{name}.se.conv_expand",
            divisible(exp / 4, 4),
            hsigmoid_by_relu6,
        )
    x = _ghost_module(net, x, f"{name}.ghost2", out, identity)
    if s == 1 and bare.shape == x.shape:
        return x + bare
    cin = bare.shape[1]
    shortcut = net.conv(f"{name}.shortcut.0", bare, cin, k, s, padding, cin)
    if net.down and s == 2 and net.choose("shortcut_pool", "none") != "none":
        shortcut = shortcut + F.max_pool2d(bare, 3, 2)
    shortcut = net.bn(f"{name}.shortcut.1", shortcut)
    return x + net.bn(f"{name}.shortcut.3", net.conv(f"{name}.shortcut.2", shortcut, out, 1))


def _ghost_module(net, x, name, out, act):
    half = math.ceil(out / 2)
    a = conv_bn_act(net, x, f"{name}.primary_conv.0", f"{name}.primary_conv.1", act, half, 1)
    b = conv_bn_act(
        net, a, f"{name}.cheap_operation.0", f"{name}.cheap_operation.1", act, half, 3, groups=half
    )
    return torch.cat([a, b], 1)[:, :out]


def shufflenetv2(net, x, widths=(116, 232, 464, 1024)):
    stride = 1 if net.small else 2
    if net.stem:
        x = hybrid_stem(net, x, "conv_stem", ("0", "1"), F.relu, 24, stride, branch_stride=stride)
    else:
        x = conv_bn_act(net, x, "conv1.0", "conv1.1", F.relu, 24, 3, stride=stride)
        x = F.max_pool2d(x, 3, stride, padding=1)
    for stage, width, repeats in zip((2, 3, 4), widths, (4, 8, 4), strict=False):
        for unit in range(repeats):
            name, half = f"stage{stage}.{unit}", width // 2
            if unit == 0 and net.efv2:
                x = embedding(net, x, name, width, stage == 4)
                continue
            if unit == 0:
                left = _shuffle_depthwise(net, x, name, "branch1.0", "branch1.1", 2)
                left = conv_bn_act(
                    net, left, f"{name}.branch1.2", f"{name}.branch1.3", F.relu, half, 1
                )
                right = x
            else:
                left, right = x.chunk(2, 1)
            b = f"{name}.branch2"
            right = conv_bn_act(net, right, f"{b}.0", f"{b}.1", F.relu, half, 1)
            right = _shuffle_depthwise(
                net, right, name, "branch2.3", "branch2.4", 2 if unit == 0 else 1
            )
            right = conv_bn_act(net, right, f"{b}.5", f"{b}.6", F.relu, half, 1)
            n, _, h, w = right.shape
            x = (
                torch.cat([left, right], 1)
                .reshape(n, 2, half, h, w)
                .transpose(1, 2)
                .reshape(n, width, h, w)
            )
    x = conv_bn_act(net, x, "conv5.0", "conv5.1", F.relu, widths[3], 1).mean((2, 3))
    return net.linear("fc", x, net.classes)


def _shuffle_depthwise(net, x, name, conv, bn, stride):
    c = x.shape[1]
    conv = f"{name}.{conv}.dwconv" if net.down else f"{name}.{conv}"
    if stride == 2 and net.down:
        return padding_free(
            net,
            x,
            lambda y: net.conv(conv, y, c, 3, 2, 0, c),
            lambda y: net.bn(f"{name}.{bn}", y),
            identity,
            at="conv",
        )
    return net.bn(f"{name}.{bn}", net.conv(conv, x, c, 3, stride, groups=c))


def resnet(net, x, units, width=1, wide=False, blueprint="", share=0.0, dense_shortcut=False):
    """ResNet and, with ``wide``, WRN; ``blueprint``: BSConv-U or S in place of each dense 3x3."""

    def dense(name, y, channels, stride=1, padding=1):
        if not blueprint:
            return net.conv(name, y, channels, 3, stride, padding)
        if blueprint == "S":
            middle = min(y.shape[1], max(4, math.ceil(share * y.shape[1])))
            y = net.bn(f"{name}.bn1", net.conv(f"{name}.pw1", y, middle, 1))
            y = net.bn(f"{name}.bn2", net.conv(f"{name}.pw2", y, channels, 1))
        else:
            y = net.conv(f"{name}.pw", y, channels, 1)
        return net.conv(f"{name}.dw", y, channels, 3, stride, padding, channels)

    x = net.bn("backbone.data_bn", x)
    x = _resnet_stem(net, x, dense, wide)
    for stage in (1, 2, 3):
        for unit in range(1, units + 1):
            out, stride = 16 * 2 ** (stage - 1) * width, 2 if unit == 1 and stage > 1 else 1
            step = _wide_unit if wide else _residual_unit
            name = f"backbone.stage{stage}.unit{unit}"
            x = step(net, x, name, dense, out, stride, dense_shortcut)
    if wide:
        x = F.relu(net.bn("backbone.final_activation.bn", x))
    x = x.mean((2, 3), keepdim=True)
    return net.conv("classifier.conv", x, net.classes, 1, bias=True).flatten(1)


def _resnet_stem(net, x, dense, wide):
    name = "backbone.init_unit"
    if not net.stem:
        x = dense(f"{name}.conv.conv", x, 16)
        return x if wide else F.relu(net.bn(f"{name}.conv.bn", x))
    s = dense(f"{name}.stem_1.0", x, 16)
    if wide:
        a = net.conv(
            f"{name}.stem_1_1.2", F.relu(net.bn(f"{name}.stem_1_1.0", s)), 16, 3, groups=16
        )
        both = torch.cat([a, F.max_pool2d(s, 3, 1, padding=1)], 1)
        out = net.conv(f"{name}.stem_3.2", F.relu(net.bn(f"{name}.stem_3.0", both)), 16, 1)
    else:
        s = F.relu(net.bn(f"{name}.stem_1.1", s))
        a = net.conv(f"{name}.stem_1_1.0", s, 16, 3, groups=16)
        a = F.relu(net.bn(f"{name}.stem_1_1.1", a))
        both = torch.cat([a, F.max_pool2d(s, 3, 1, padding=1)], 1)
        out = F.relu(net.bn(f"{name}.stem_3.1", net.conv(f"{name}.stem_3.0", both, 16, 1)))
    return out + s if net.choose("stem_residual", True) else out


def _first(net, x, name, dense, out, stride):
    if stride == 1 or not net.down:
        return F.relu(net.bn(f"{name}.conv1.bn", dense(f"{name}.conv1.conv", x, out, stride)))
    return padding_free(
        net,
        x,
        lambda y: dense(f"{name}.conv1.conv", y, out, 2, 0),
        lambda y: net.bn(f"{name}.conv1.bn", y),
        F.relu,
        at="act",
        project=lambda y: net.conv(f"{name}.conv1.conv2", y, out, 1),
    )


def _depthwise_shortcut(net, x, name, out):
    c = x.shape[1]
    y = net.bn(f"{name}.projection.1", net.conv(f"{name}.projection.0", x, c, 3, 2, 0, c))
    return net.bn(f"{name}.projection.3", net.conv(f"{name}.projection.2", y, out, 1))


def _residual_unit(net, x, name, dense, out, stride, _):
    y = _first(net, x, name, dense, out, stride)
    y = net.bn(f"{name}.conv2.bn", dense(f"{name}.conv2.conv", y, out))
    if stride == 2 and net.down:
        x = _depthwise_shortcut(net, x, name, out)
    elif y.shape != x.shape:
        p = f"{name}.projection"
        x = net.bn(f"{p}.bn", net.conv(f"{p}.conv", x, out, 1, stride))
    return F.relu(y + x)


def _wide_unit(net, x, name, dense, out, stride, dense_shortcut):
    a = F.relu(net.bn(f"{name}.bn", x))
    y = dense(f"{name}.conv2.conv", _first(net, a, name, dense, out, stride), out)
    if y.shape == x.shape:
        return y + x
    a = a if net.choose("shortcut_from", "activated") == "activated" else x
    p = f"{name}.projection"
    if stride == 2 and net.down and dense_shortcut:
        pooled = net.conv(f"{p}.conv2", F.max_pool2d(a, 3, 2), out, 1)
        return y + dense(f"{p}.conv", a, out, 2, 0) + pooled
    if stride == 2 and net.down:
        return y + _depthwise_shortcut(net, a, name, out)
    return y + net.conv(f"{p}.conv", a, out, 1, stride)
