import json

import pytest

from fairseq_ringformer.cli.main import main


def test_a_table_is_printed_beside_the_published_figures(capsys):
    assert main(["params", "--table", "4"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Table 4: ablations, all parameters"
    assert sum(line.endswith("exact") for line in out) == 7
    assert any(line.split()[-4:] == ["128/512", "20,584,736", "20.58M", "exact"] for line in out)
    assert out[-1].startswith("inter-FF: +0.06M: the paper's figures")


def test_a_table_as_json(capsys):
    assert main(["params", "--table", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 8
    assert rows[3] == {
        "model": "ringformer",
        "embed_dim": 512,
        "ffn_dim": 2048,
        "parameters": 8_943_616,
        "published": "8.94M",
        "exact": True,
        "note": None,
    }


def test_an_architecture_with_any_flags(capsys):
    assert main(["params", "--arch", "ringformer_small", "--signal-rank", "4", "--vocab-size", "1000"]) == 0
    out = capsys.readouterr().out
    assert "ringformer_small: 1,000 source and 1,000 target entries" in out
    assert main(["params", "--arch", "ringformer_small", "--signal-rank", "4", "--vocab-size", "1000", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["parameters"] == sum(part["unique"] for part in row["parts"])
    assert f"{row['parameters']:,}" in out


def test_an_image_classifier_with_any_keyword(capsys):
    assert main(["params", "--arch", "vit_ring_tiny_patch4_28", "--signal-rank=2", "--num-classes", "7", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["parameters"] == sum(part["unique"] for part in row["parts"])
    assert row["parts"][-1]["unique"] == 7 * (row["embed_dim"] + 1)
    signals = [part for part in row["parts"] if part["part"] == "signals"]
    assert signals[0]["per_level"] == 4 * 2 * 2 * row["embed_dim"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--arch", "vit_ring_512_l7_patch16_224"],
            "ringformer params: no model vit_ring_512_l7_patch16_224 in timm; did you mean",
        ),
        (
            ["--arch", "vit_base_patch16_224"],
            "ringformer params: vit_base_patch16_224 is timm's own: choose one of vit_owf",
        ),
        (["--arch", "vit_ring_tiny_patch4_28", "--depht", "2"], "ringformer params: model vit_ring_tiny_patch4_28: "),
        (
            ["--arch", "vit_ring_tiny_patch4_28", "depth=2"],
            "ringformer params: depth=2: model flags of an image classifier are",
        ),
        (
            ["--arch", "vit_ring_tiny_patch4_28", "--img-size", "[28"],
            "ringformer params: --img-size [28: not a YAML value",
        ),
        (
            ["--arch", "vit_ring_tiny_patch4_28", "--global-pool", "no"],
            "ringformer params: model vit_ring_tiny_patch4_28: global_pool",
        ),
        (
            ["--arch", "vit_ring_tiny_patch4_28", "--vocab-size", "9"],
            "ringformer params: vit_ring_tiny_patch4_28 classifies images",
        ),
        (["--arch", "ringformer_huge"], "ringformer params: unknown architecture 'ringformer_huge': choose one of"),
        (
            ["--arch", "ringformer_base", "--signal", "loud"],
            "ringformer params: argument --signal: invalid choice: 'loud'",
        ),
        (["--arch", "ringformer_base", "--colour", "red"], "ringformer params: unrecognized arguments: --colour red"),
        (
            ["--arch", "ringformer_base", "--encoder-embed-dim", "500"],
            "ringformer params: encoder: embed_dim 500 is not divisible",
        ),
        (["--arch", "ringformer_base", "--encoder-embed-path", "nowhere"], "ringformer params: nowhere: No such file"),
        (["--table", "1", "--signal-rank", "4"], "ringformer params: --table takes no other model flags"),
    ],
)
def test_mistakes_end_in_one_line(flags, message, capsys):
    assert main(["params", *flags]) == 2
    err = capsys.readouterr().err
    assert err.startswith(message) and len(err.splitlines()) == 1


def test_numbers_of_a_classifier_are_read_in_either_form(capsys):
    """YAML takes 1e-1 for a word."""
    counted = []
    for number in ("0.1", "1e-1"):
        assert main(["params", "--arch", "vit_ring_tiny_patch4_28", "--drop-path-rate", number, "--json"]) == 0
        counted.append(json.loads(capsys.readouterr().out))
    assert counted[0] == counted[1]


@pytest.mark.parametrize("what", [["--arch", "vit_ring_tiny_patch4_28"], ["--table", "1"]])
def test_no_number_of_entries_is_passed_over(what, capsys):
    with pytest.raises(SystemExit):
        main(["params", *what, "--vocab-size", "0"])
    assert "--vocab-size: 0 is not a whole number of at least 1" in capsys.readouterr().err
