"""What an app may ask of its files, read and refused before anything is built."""

from __future__ import annotations

import pytest

from export.build import main
from export.request.app import AppOptions, parse_head, parse_labels, parse_numbers
from export.request.request import BuildRequest
from export.request.source import ZooSource
from pfd_models.errors import DataError, SpecError


@pytest.mark.parametrize(
    ("text", "count"), [("none", 0), ("softmax", 0), ("argmax", 0), ("topk:5", 5)]
)
def test_a_head_is_read(text, count):
    assert parse_head(text) == count


@pytest.mark.parametrize("text", ["sofmax", "topk", "topk:0", "topk:-1", "topk:x", ""])
def test_a_head_that_is_none_is_refused_with_the_known_ones(text):
    with pytest.raises(SpecError, match="topk:5"):
        AppOptions(head=text)


def test_labels_are_a_file_or_a_data_set(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("a\nb\n")
    assert parse_labels(str(path)).place == str(path)
    assert parse_labels("dataset").place == ""
    assert parse_labels("dataset:digits").place == "digits"
    with pytest.raises(DataError, match=r"no\.txt' is no file; give a text file"):
        parse_labels(str(tmp_path / "no.txt"))


def test_other_labels_make_another_set(tmp_path):
    path = tmp_path / "names.txt"

    def key():
        app = AppOptions(labels=parse_labels(str(path)))
        return BuildRequest(source=ZooSource(model="shufflenetv2"), app=app).request_key()

    path.write_text("a\n")
    first = key()
    path.write_text("b\n")
    assert key() != first


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--mean", "0,0,0"], "--mean has 3 values and --std 0"),
        (["--mean", "0,x,0", "--std", "1,1,1"], "write numbers as"),
        (["--mean", "0,0,0", "--std", "1,0,1"], "--std above 0"),
        (["--mean=-1,0,0", "--std", "1,nan,1"], "--std above 0"),
        (["--labels", ""], "--labels '' is no file"),
        (["--preprocess", "baked", "--input-range", "0,255"], "leave --input-range out"),
        (
            [
                "--preprocess",
                "uint8",
                "--precision",
                "int8",
                "--calibration",
                "synthetic",
                "--io",
                "int8",
            ],
            "leave --io int8 out",
        ),
    ],
)
def test_options_that_do_not_fit_are_one_line_and_status_2(options, line, capsys):
    assert main(["--model", "shufflenetv2", *options]) == 2
    errors = capsys.readouterr().err
    assert line in errors
    assert errors.count("\n") == 1


def test_negative_means_are_read_as_they_are_meant():
    assert parse_numbers("--mean", "-1,0.5") == (-1.0, 0.5)
    assert parse_numbers("--mean", None) == ()
