from fairseq_ringformer.cli.main import main
from fairseq_ringformer.models.config import RingFormerConfig


def test_every_option_is_listed_with_its_help(capsys):
    assert main(["flags"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for name, option in RingFormerConfig.__dataclass_fields__.items():
        if not name.startswith("_"):
            assert f"--{name.replace('_', '-')}" in out
            assert option.metadata["help"][:30] in out, name
    assert "(eq. 6 and 7)" in out and "--encoder-cross-attn-sharing" not in out
