"""Files that are not what they should be: pipes, devices, bombs, links, names that lead elsewhere, damaged bytes."""

import os
import time
from pathlib import Path

import pytest
import torch

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.saving import (
    CONFIG,
    FIRST,
    WEIGHTS,
    adapted,
    as_version_1,
    edit_config,
    edit_weights,
    join,
    refused,
    split,
    torch_bytes,
)
from tests.support.tiny_models import build, logits, same_bits


@pytest.fixture
def folder(tmp_path):
    return lk.save_adapter(adapted(), tmp_path / "saved")


# Damage that no shape and no NaN gives away


def test_a_single_flipped_bit_in_any_tensor_is_noticed(folder):
    data, model = (folder / WEIGHTS).read_bytes(), build("gpt2")
    header, tensors = split(data)
    for key, entry in header.items():
        if key != "__metadata__":
            at = (
                len(data) - len(tensors) + entry["data_offsets"][0]
            )  # the lowest bit of the first number: finite, and nearly the same
            (folder / WEIGHTS).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            refused(model, folder, "damaged|not block-diagonal")


def test_a_flipped_bit_in_the_name_or_text_of_the_note_is_noticed(folder):
    data = (folder / WEIGHTS).read_bytes()
    for word in (b'"lorakit"', b'"lorakit_sha256"', b'\\"base\\"', b'\\"slices\\"', b'\\"version\\"'):
        at = data.index(word) + 4
        (folder / WEIGHTS).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        refused(build("gpt2"), folder, "damaged")


def test_files_from_before_the_checksum_still_load(folder):
    expected = logits(lk.load_adapter(build("gpt2"), folder))
    as_version_1(folder)
    assert same_bits(logits(lk.load_adapter(build("gpt2"), folder)), expected)
    edit_weights(folder, lambda tensors: tensors.update({FIRST.format("B"): torch.ones(72, 4)}))
    refused(build("gpt2"), folder, "not block-diagonal")


def test_a_missing_config_or_the_old_one_means_that_the_save_was_cut_short(tmp_path):
    (tmp_path / CONFIG).write_text("not JSON at all")  # what stood there when the weights came
    lk.save_adapter(adapted(), tmp_path)
    expected = logits(lk.load_adapter(build("gpt2"), tmp_path))
    for leave in (lambda: (tmp_path / CONFIG).unlink(), lambda: (tmp_path / CONFIG).write_text("not JSON at all")):
        leave()
        assert same_bits(logits(lk.load_adapter(build("gpt2"), tmp_path)), expected)
    (tmp_path / CONFIG).write_text("not JSON at all, either")
    refused(build("gpt2"), tmp_path, f"{CONFIG} cannot be read")


# What is no file


@pytest.mark.parametrize("what", ["pipe", "folder", "/dev/zero", "/dev/null"])
def test_what_is_no_regular_file_is_no_adapter(what, folder):
    expected = logits(lk.load_adapter(build("gpt2"), folder))
    for name in (CONFIG, WEIGHTS):
        (folder / name).unlink()
        if what == "pipe":
            os.mkfifo(folder / name)
        elif what == "folder":
            (folder / name).mkdir()
        else:
            (folder / name).symlink_to(what)
        start = time.perf_counter()
        if name == CONFIG:  # the weights carry a copy
            assert same_bits(logits(lk.load_adapter(build("gpt2"), folder)), expected)
        else:
            refused(build("gpt2"), folder, "no adapter in")
        assert time.perf_counter() - start < 2


def test_links_to_regular_files_are_followed_as_the_hubs_cache_needs(folder, tmp_path):
    expected = logits(lk.load_adapter(build("gpt2"), folder))
    linked = tmp_path / "snapshot"
    linked.mkdir()
    for name in (CONFIG, WEIGHTS):
        (linked / name).symlink_to(Path("..") / "saved" / name)
    assert same_bits(logits(lk.load_adapter(build("gpt2"), linked)), expected)


@pytest.mark.parametrize("name", ["../saved", "a/b", "", ".", "..", "a\0b", "x" * 300, "forward", "pop", None, 3, "é"])
def test_a_name_that_leads_elsewhere_is_refused_before_any_file_is_touched(name, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    model = build("gpt2")
    for place in (tmp_path / "empty", folder):  # from "empty", "../saved" would find the adapter
        with pytest.raises(LoRAError, match="an adapter's name is made of"):
            lk.load_adapter(model, place, name)
    assert lk.adapter_names(model) == []


def test_a_path_that_the_system_refuses_is_a_lora_error(tmp_path):
    refused(build("gpt2"), tmp_path / ("x" * 5000), "cannot be read")
    refused(build("gpt2"), f"{tmp_path}/a\0b", "no adapter|cannot be read")
    for path in (f"{tmp_path}/a\0b", tmp_path / ("x" * 5000)):
        with pytest.raises(LoRAError, match="cannot write|cannot be read"):
            lk.save_adapter(adapted(), path)


# Bombs


def many_keys(folder):
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    (folder / WEIGHTS).write_bytes(join({str(i): empty for i in range(15_000)}))


def deep_config(folder):
    (folder / CONFIG).write_text("[" * 2_000_000)


@pytest.mark.parametrize("bomb", [many_keys, deep_config])
def test_files_that_claim_more_than_fits_are_refused_in_little_time(bomb, folder):
    bomb(folder)
    start = time.perf_counter()
    refused(build("gpt2"), folder, "missing|nested too deeply|cannot be read|unexpected")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "odd",
    [lambda v: v.to_sparse(), lambda v: v.to("meta"), lambda v: [v]]
    + [lambda v: v.to(torch.complex64), lambda v: v.long(), lambda v: v.to(torch.float8_e4m3fn), lambda v: v > 0]
    + [lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8), lambda v: torch.ones(1, 1).expand(v.shape)],
    ids=["sparse", "meta", "list", "complex", "int64", "float8", "bool", "quantized", "expanded"],
)
@pytest.mark.filterwarnings("ignore")
def test_loralib_tensors_that_are_no_plain_floats_are_refused(odd, tmp_path):
    config, model = LoRAConfig(r=2, targets=("c_attn",)), build("gpt2")
    paths = [f"transformer.h.{i}.attn.c_attn.lora_" for i in range(2)]
    tensors = {f"{path}{ab}": torch.ones(shape) for path in paths for ab, shape in (("A", (2, 24)), ("B", (72, 2)))}
    (tmp_path / "lora.pt").write_bytes(torch_bytes(tensors))
    lk.load_adapter(model, tmp_path / "lora.pt", "whole", config=config)
    tensors[f"{paths[1]}B"] = odd(tensors[f"{paths[1]}B"])
    (tmp_path / "lora.pt").write_bytes(torch_bytes(tensors))
    says = "plain tensor|more numbers|names and tensors|where this model has|does not fit"
    refused(model, tmp_path / "lora.pt", says, config=config)


def test_metadata_of_other_programs_is_no_note_of_ours(folder):
    header, data = split((folder / WEIGHTS).read_bytes())
    header["__metadata__"] = {"format": "pt", "trained_with": "something else"}
    (folder / WEIGHTS).write_bytes(join(header, data))
    edit_config(folder, surprise=1)
    lk.load_adapter(build("gpt2"), folder)
