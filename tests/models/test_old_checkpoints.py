import pytest
import torch

from fairseq_ringformer.models.old_checkpoints import pack_old_weights
from tests.building import batch, build


def unpacked(state_dict):
    """The same weights under the names that they had before they were packed."""
    old = {}
    for key, value in state_dict.items():
        if "qkv_proj" in key:
            old.update({key.replace("qkv_", f"{part}_"): own for part, own in zip("qkv", value.chunk(3))})
        elif "kv_proj" in key:
            old.update({key.replace("kv_", f"{part}_"): own for part, own in zip("kv", value.chunk(2))})
        elif ".signals." in key:
            prefix, part, kind = key.rsplit(".", 2)
            for level, own in enumerate(value):
                names = ["ffn"] if part == "ffn" else ["q", "k", "v"]
                old.update({f"{prefix}.{level}.{name}.{kind}": tensor for name, tensor in zip(names, own)})
        else:
            old[key] = value
    return old


@pytest.mark.parametrize(
    "arch, flags",
    [
        ("ringformer", ("--attn-bias", "--ffn-bias")),
        ("ringformer", ("--signal", "full-rank", "--self-attn-sharing", "cycle:2")),
        ("vanilla_transformer", ()),
        ("universal_transformer", ()),
    ],
)
def test_an_old_checkpoint_loads_as_the_same_model(arch, flags):
    model, other = build(arch, *flags), build(arch, *flags, seed=5)
    old = unpacked(model.state_dict())
    assert old.keys() != model.state_dict().keys()
    other.load_state_dict(old)
    source, target = batch(model)
    with torch.no_grad():
        assert torch.equal(other(source, None, target)[0], model(source, None, target)[0])


def test_a_new_checkpoint_stays_as_it_is():
    state = build("ringformer").state_dict()
    packed = dict(state)
    pack_old_weights(packed)
    assert packed.keys() == state.keys() and all(packed[key] is state[key] for key in state)
