import pytest
import torch
from torch import nn

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.modules import ROWS, Bank, parse_sharing, parse_signals, resolve
from fairseq_ringformer.modules.sharing import RING, UNIVERSAL


@pytest.mark.parametrize(
    "spec, sharing",
    [
        ("own", (0, 1, 2, 3, 4, 5)),
        ("one", (0, 0, 0, 0, 0, 0)),
        ("cycle:3", (0, 1, 2, 0, 1, 2)),
        ("sequence:3", (0, 0, 1, 1, 2, 2)),
        ("sequence:4", (0, 0, 1, 2, 2, 3)),
        ("cycle_rev:3", (0, 1, 2, 2, 1, 0)),
        ("cycle_rev:2", (0, 1, 0, 1, 1, 0)),  # all but the last K as cycle
        ("cycle_rev:4", (0, 1, 2, 3, 3, 2)),
        ("cycle_rev:6", (0, 1, 2, 3, 4, 5)),
        ("cycle_rev:1", (0, 0, 0, 0, 0, 0)),
        ("middle_cycle:4", (0, 1, 2, 1, 2, 3)),
        ("middle_cycle:3", (0, 1, 1, 1, 1, 2)),
        ("middle_sequence:4", (0, 1, 1, 2, 2, 3)),
        ("middle_cycle:6", (0, 1, 2, 3, 4, 5)),
        ("0,1,1,1,1,2", (0, 1, 1, 1, 1, 2)),
        (" 0, 0, 1, 1, 2, 2 ", (0, 0, 1, 1, 2, 2)),
    ],
)
def test_a_specification_names_the_copy_of_every_level(spec, sharing):
    assert parse_sharing(spec, 6) == sharing


@pytest.mark.parametrize(
    "spec, message",
    [
        ("0,0,1", "--ffn-sharing: '0,0,1' names 3 levels, but there are 6"),
        ("0,0,2,2,2,2", "--ffn-sharing: '0,0,2,2,2,2' has a gap: copy 1 is used by no level"),
        ("-1,0,0,0,0,0", "--ffn-sharing: '-1,0,0,0,0,0' has a gap: copy numbers start at 0"),
        ("cycle:7", "--ffn-sharing: 'cycle:7' needs a number of copies from 1 to 6"),
        ("cycle:0", "--ffn-sharing: 'cycle:0' needs a number of copies from 1 to 6"),
        ("sequence:", "--ffn-sharing: 'sequence:' needs a number of copies"),
        ("middle_cycle:2", "--ffn-sharing: 'middle_cycle:2' needs a number of copies from 3 to 6"),
        ("middle_one", "--ffn-sharing: cannot read 'middle_one'"),
        ("shared", "--ffn-sharing: cannot read 'shared'; use own, one, cycle:K"),
    ],
)
def test_a_wrong_specification_is_named(spec, message):
    with pytest.raises(ValueError) as error:
        parse_sharing(spec, 6, "--ffn-sharing")
    assert message in str(error.value)


def test_a_bank_registers_each_copy_once():
    bank = Bank(lambda: nn.Linear(2, 2), (0, 1, 0, 1))
    assert len(bank) == 2
    assert bank.at(0) is bank.at(2) and bank.at(1) is bank.at(3) and bank.at(0) is not bank.at(1)
    assert len(bank.state_dict()) == 4
    assert not torch.equal(bank.at(0).weight, bank.at(1).weight)


def test_every_row_of_the_table_can_be_read_for_any_depth():
    for architecture in ROWS.values():
        for row in (architecture.encoder, architecture.decoder):
            maps = resolve(row, {}, 7, cross_attn=True)
            assert all(len(maps[part]) == 7 for part in ("self_attn", "cross_attn", "norm"))


def test_whole_layers_share_and_a_part_may_differ():
    row = ROWS["one_wide_ffn"].encoder
    maps = resolve(row, {"sharing": "cycle:2", "self_attn_sharing": "own"}, 3, cross_attn=True)
    assert maps["self_attn"] == (0, 1, 2) and maps["ffn_norm"] is None
    assert maps["cross_attn"] == maps["ffn"] == maps["norm"] == (0, 1, 0)
    with pytest.raises(UserError, match="^sharing: cannot read 'both'"):
        resolve(row, {"sharing": "both"}, 3)


@pytest.mark.parametrize(
    "overrides, signals",
    [
        ({}, {"self_attn.qkv_proj": "after", "ffn.fc1": "before"}),
        ({"attention_signal": "before"}, {"self_attn.qkv_proj": "before", "ffn.fc1": "before"}),
        ({"attention_signal": "none", "ffn_signal": "inter"}, {"ffn.fc1": "after"}),
        ({"signals": "self_attn.out_proj:after, ffn.fc2:before"}, {"self_attn.out_proj": "after", "ffn.fc2": "before"}),
        ({"signals": {"cross_attn.kv_proj": "after"}}, {}),  # an encoder has none
        ({"ffn_sharing": "none"}, {"self_attn.qkv_proj": "after"}),
        ({"signal": "none"}, {}),
        ({"signal": "static", "ffn_signal": "none"}, {}),
    ],
)
def test_options_change_the_signals_of_a_row(overrides, signals):
    assert resolve(RING, overrides, 3)["signals"] == signals


def test_a_row_without_signals_takes_the_rings():
    assert resolve(UNIVERSAL, {"signal": "low-rank"}, 3)["signals"] == RING.signals


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"signal": "none", "attention_signal": "after"}, "--signal none excludes --attention-signal"),
        ({"signal": "static", "signals": "ffn.fc1:after"}, "--signal static excludes --signals"),
        ({"signal": "full-rank", "signal_rank": 0}, "--signal full-rank excludes --signal-rank"),
        ({"signal": "full-rank", "signal_init_std": 0.1}, "--signal full-rank excludes --signal-init-std"),
        ({"coordinates": "released"}, "--signal low-rank excludes --coordinates"),
        ({"residual_scale": "1/L"}, "--residual-scale '1/L' is unknown: choose one of none, 1/N"),
        ({"signals": "ffn.fc1:after", "ffn_signal": "none"}, "--signals names every signal: leave --ffn-signal out"),
        ({"ffn_sharing": "two"}, "--ffn-sharing: cannot read 'two'"),
    ],
)
def test_options_that_exclude_each_other_are_named(overrides, message):
    with pytest.raises(UserError, match=message):
        resolve(RING, overrides, 3, name=lambda option: f"--{option}".replace("_", "-"))


@pytest.mark.parametrize(
    "spec, message",
    [
        ("ffn.fc3:after", "no projection 'ffn.fc3'; there are self_attn.qkv_proj"),
        ("ffn.fc1", "ffn.fc1: is neither ffn.fc1:after nor ffn.fc1:before"),
        ("ffn.fc1:after,ffn.fc1:before", "one is named twice"),
    ],
)
def test_a_signal_that_cannot_be_read_is_named(spec, message):
    with pytest.raises(UserError, match=message):
        parse_signals(spec)


def test_a_printed_bank_shows_its_map():
    assert repr(Bank(lambda: nn.Linear(1, 2), (0, 1, 0, 1))).startswith("Bank[0,1,0,1](\n  (0-1): 2 x Linear(")
