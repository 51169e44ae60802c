import json

import pytest

from fairseq_ringformer.cli.main import main


def test_an_image_classifier(capsys):
    assert main(["flops", "--arch", "vit_ring_768_l12_patch16_224"]) == 0
    out = capsys.readouterr().out
    assert ["signals", "0.6972", "0.0000"] in [line.split() for line in out.splitlines()]
    for row in ("total", "counted by torch"):  # the closed form, and what torch sees
        assert [*row.split(), "18.2610", "17.5638"] in [line.split() for line in out.splitlines()]
    assert "17.636; 19.030 with signals multiplied out" in out


def test_a_translation_model_with_flags_as_json(capsys):
    sizes = "--vocab-size 100 --json --source-length 5 --target-length 6".split()
    assert main(["flops", "--arch", "ringformer_tiny", "--signal", "none", *sizes]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["thin"] == found["folded"] == found["counted"]["thin"] == sum(part["thin"] for part in found["parts"])
    assert found["parts"][-1] == {"part": "output head", "thin": 6 * 192 * 100, "folded": 6 * 192 * 100}


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--arch", "vit_ring_tiny_patch4_28", "--source-length", "3"],
            "ringformer flops: vit_ring_tiny_patch4_28 classifies images",
        ),
        (
            ["--arch", "vit_ring_tiny_patch4_28", "--img-size", "30"],
            "ringformer flops: model vit_ring_tiny_patch4_28: images of 30 x 30",
        ),
        (["--arch", "ringformer_huge"], "ringformer flops: unknown architecture 'ringformer_huge'"),
    ],
)
def test_mistakes_end_in_one_line(flags, message, capsys):
    assert main(["flops", *flags]) == 2
    err = capsys.readouterr().err
    assert err.startswith(message) and len(err.splitlines()) == 1
