import pytest
import torch
from torch import nn

from fairseq_ringformer.modules import ROWS, Bank, parse_sharing


@pytest.mark.parametrize(
    "spec, sharing",
    [
        ("own", (0, 1, 2, 3, 4, 5)),
        ("one", (0, 0, 0, 0, 0, 0)),
        ("cycle:3", (0, 1, 2, 0, 1, 2)),
        ("sequence:3", (0, 0, 1, 1, 2, 2)),
        ("sequence:4", (0, 0, 1, 2, 2, 3)),
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
            for spec in (row.self_attn, row.cross_attn, row.norm):
                assert len(parse_sharing(spec, 7)) == 7
