import re

import pytest

from export.request.source import InputTensor
from export.request.user_code import (
    Target,
    check_inputs,
    parse_input,
    parse_shape,
    parse_target,
)
from pfd_models.errors import SpecError


@pytest.mark.parametrize("text", ["1,3,224,224", "1x3x224x224"])
def test_a_shape_is_read(text):
    assert parse_shape(text) == (1, 3, 224, 224)


@pytest.mark.parametrize("text", ["", "1,3,", "a", "1,-3", "0"])
def test_what_is_no_shape_is_one_line(text):
    with pytest.raises(SpecError, match="write it as 1,3,224,224"):
        parse_shape(text)


@pytest.mark.parametrize("text", ["1,3,-1,-1", "N,3,224,224", "1,3,?,?", "1,None,3", "-1x3x8x8"])
def test_an_open_size_gets_a_line_that_says_to_fix_it(text):
    with pytest.raises(SpecError, match=r"leaves a size open.*write the sizes that you will run"):
        parse_shape(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,16", InputTensor(shape=(1, 16))),
        ("int64:1,16", InputTensor(shape=(1, 16), dtype="int64")),
        ("ids:1,16", InputTensor(shape=(1, 16), name="ids")),
        ("ids:int64:1,16", InputTensor(shape=(1, 16), dtype="int64", name="ids")),
        ("batch.ids:bool:1", InputTensor(shape=(1,), dtype="bool", name="batch.ids")),
        ("state.0:1x4", InputTensor(shape=(1, 4), name="state.0")),
    ],
)
def test_an_input_has_a_shape_and_may_have_a_dtype_and_a_name(text, expected):
    assert parse_input(text) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ids:in64:1,16", "unknown dtype 'in64': did you mean 'int64'"),
        ("half:1,3,8,8", "leave half out, and give --to float32"),
        ("x:float64:1,3", "leave float64 out, and give --to float32"),
        ("a b:1,3", "'a b' is no parameter of forward"),
        ("0:1,3", "'0' is no parameter of forward"),
        ("a:int64:x:1", "too many parts"),
    ],
)
def test_what_is_no_input_is_one_line(text, line):
    with pytest.raises(SpecError, match=re.escape(line)) as caught:
        parse_input(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        (("ids:1", "ids:1"), "gives 'ids' twice"),
        (("batch:1", "batch.ids:1"), "gives 'batch' twice"),
        (("ids:1", "1,3"), "an input without a name stands behind 'ids'"),
    ],
)
def test_inputs_that_no_call_can_pass_are_one_line(texts, line):
    with pytest.raises(SpecError, match=line):
        check_inputs([parse_input(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net:make", Target(module="net", factory="make")),
        ("a.b:Net.small", Target(module="a.b", factory="Net.small")),
        ("net:make(width=0.5)", Target(module="net", factory="make", kwargs={"width": 0.5})),
        ("net:make( 3, 'x' )", Target(module="net", factory="make", args=(3, "x"))),
        (
            "net:make(-1, sizes=[1, (2,)], on=None)",
            Target(
                module="net", factory="make", args=(-1,), kwargs={"sizes": [1, (2,)], "on": None}
            ),
        ),
        ("timm:net_100.in1k", Target(module="timm", factory="net_100.in1k")),
    ],
)
def test_a_target_names_a_factory_with_its_arguments(text, expected):
    assert parse_target(text) == expected


@pytest.mark.parametrize("target", ["nothing", ":f", "m:"])
def test_a_target_without_a_factory_is_one_line(target):
    with pytest.raises(SpecError, match=r"package\.module:factory"):
        parse_target(target)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("src/models/net.py:make", "write it with dots, as src.models.net:make"),
        ("./net.py:make(2)", "write it with dots, as net:make(2)"),
        ("net.py", "write it with dots, as net:FACTORY"),
        ("../other/net.py:make", "run the command in ../other and write net:make"),
        ("/home/me/net.py:make", "run the command in /home/me and write net:make"),
        ("my-net.py:make", "Python cannot import 'my-net'"),
        ("my-net:make", "rename that file or folder to my_net"),
        ("src/2net.py:make", "rename that file or folder to _2net"),
    ],
)
def test_a_path_gets_a_line_that_says_what_to_write(text, line):
    with pytest.raises(SpecError, match=re.escape(line)) as caught:
        parse_target(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ("make(width=open('x'))", "the argument width=open('x') is no literal"),
        ("make(__import__('os').system('true'))", "is no literal"),
        ("make(2 ** 9)", "the argument 2 ** 9 is no literal"),
        ("make(*[1])", "is no literal"),
        ("make(**{'a': 1})", "is no literal"),
        ("make(", "'make(' is no factory"),
        ("make()()", "is no factory"),
        ("a + b", "is no factory"),
        ("make(" + "[" * 500 + "]" * 500 + ")", "is no"),
    ],
)
def test_only_literals_are_arguments_and_nothing_is_evaluated(call, line):
    with pytest.raises(SpecError, match=re.escape(line)) as caught:
        parse_target(f"net:{call}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["image:uint8:2..8,3,4,5", "image:uint8:2..8x3x4x5"])
def test_a_range_of_batches_stands_in_the_first_place(text):
    tensor = parse_input(text)
    assert (tensor.name, tensor.dtype) == ("image", "uint8")
    assert (tensor.shape, tensor.batch) == ((2, 3, 4, 5), (2, 8))
    with pytest.raises(SpecError, match="is no shape"):
        parse_input("1,2..3,4")
