"""What translation and language models have in common: preparation, arithmetic, and checkpoints that are refused in words."""

from fairseq.models import BaseFairseqModel
from torch import Tensor

from ..errors import UserError
from .config import SIDES
from .embedding import COMPUTE_DTYPES

# Options of a run that must not follow its checkpoint: files that were needed for training only.
OVERRIDES = {"encoder_embed_path": None, "decoder_embed_path": None}
# Weights with a row for each symbol of a dictionary.
VOCABULARY = (
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "decoder.output_projection.weight",
    "decoder.output_projection.bias",
    "decoder.output_bias",
)


class StackModel(BaseFairseqModel):
    """A model of fairseq whose sides, an encoder and a decoder or a decoder alone, each have a stack."""

    _strict = True  # false while :meth:`load_state_dict` takes parts of a model

    @property
    def sides(self) -> dict:
        """Encoder and decoder, those that there are, by name."""
        return {side: getattr(self, side) for side in SIDES if hasattr(self, side)}

    def load_state_dict(self, state_dict, strict: bool = True, *args, **kwargs):
        """Load weights of all levels; with ``--exit-level``, leave the decoder the first of them alone.

        Raises:
            UserError: for those of another model; where it is not `strict`, for weights of another shape alone.
        """
        self._strict = strict
        try:
            loaded = super().load_state_dict(state_dict, strict, *args, **kwargs)
        finally:
            self._strict = True
        if self.cfg.exit_level is not None:
            self.exit_at(self.cfg.exit_level)
        return loaded

    def exit_at(self, level: int) -> None:
        """Run no level of the decoder after `level`, counted from 1; its final norm and its head stand behind it.

        Raises:
            UserError: if there is no such level, or alignments are read off a later one.
        """
        stack, aligned = self.decoder.stack, getattr(self, "alignment", {}).get("alignment_layer")
        if not 1 <= level <= stack.levels:
            raise UserError(f"--exit-level {level} must lie between 1 and {stack.levels}")
        if aligned is not None and aligned >= level:
            raise UserError(f"--exit-level {level}: the model's alignments are those of level {aligned + 1}")
        stack.truncate(level)

    def train(self, mode: bool = True) -> "StackModel":
        if mode and self.cfg.exit_level is not None:
            raise UserError("--exit-level is for inference: to train fewer levels, set --decoder-layers")
        return super().train(mode)

    def prepare_for_inference_(self, cfg) -> None:
        """fairseq's hook: the weights are final. Its commands and hub interface call it before they translate.

        Raises:
            UserError: if alignments are asked for, and there is nothing to align with; as :meth:`reparameterize`.
        """
        wanted = cfg.generation
        alone = "encoder" not in self.sides and not getattr(wanted, "lm_path", None)
        if alone and getattr(wanted, "print_alignment", False):
            raise UserError("--print-alignment has no meaning here: a language model has no source to align with")
        super().prepare_for_inference_(cfg)
        self.reparameterize()

    def reparameterize(self) -> None:
        """Fold and lay out the weights for inference; see :meth:`.Stack.reparameterize`."""
        if "encoder" in self.sides:
            self.encoder.stack.reparameterize()
        self.decoder.reparameterize()

    def set_autocast(self, kind: str) -> None:
        """Compute in ``bf16``, or in the weights' own type with ``none``, from now on."""
        for side in self.sides.values():
            side.compute_dtype = COMPUTE_DTYPES[kind]

    def upgrade_state_dict_named(self, state_dict: dict[str, Tensor], name: str) -> None:
        """fairseq's hook before loading; says in words when a checkpoint is of another architecture or dictionary."""
        super().upgrade_state_dict_named(state_dict, name)
        expected = self.state_dict()
        missing = sorted(expected.keys() - state_dict.keys()) if self._strict else []
        surplus = sorted(state_dict.keys() - expected.keys()) if self._strict else []
        shapes = sorted(
            key for key in expected.keys() & state_dict.keys() if expected[key].shape != state_dict[key].shape
        )
        if not (missing or surplus or shapes):
            return
        if not (missing or surplus) and all(
            key in VOCABULARY and expected[key].shape[1:] == state_dict[key].shape[1:] for key in shapes
        ):
            raise UserError(
                f"the checkpoint knows {describe_vocabulary(state_dict)}, "
                f"the data folder has dictionaries of {describe_vocabulary(expected)}: use the data that it was "
                "trained on, or binarise with the dictionaries of that data (fairseq-preprocess --srcdict, --tgtdict)"
            )
        differences = [
            *(f"it lacks {key}" for key in missing),
            *(f"it has {key}, which this model has not" for key in surplus),
            *(f"{key} is {tuple(state_dict[key].shape)}, here {tuple(expected[key].shape)}" for key in shapes),
        ]
        raise UserError(
            f"the checkpoint is of another architecture than this {type(self).__name__}: {differences[0]} "
            f"({len(missing)} missing, {len(surplus)} unknown, {len(shapes)} of another shape); "
            "use the --arch and flags that it was trained with (checkpoints of unreleased versions, before 0.1.0, do not load)"
        )


def vocabularies(state_dict: dict[str, Tensor]) -> tuple[int, int]:
    """Symbols of source and target that a state dict has embeddings for; one table alone is both's.

    Raises:
        UserError: if there is none.
    """
    tables = [
        state_dict[f"{side}.embed_tokens.weight"] for side in SIDES if f"{side}.embed_tokens.weight" in state_dict
    ]
    if not tables:
        raise UserError("it has no embeddings: not a checkpoint of a translation or language model")
    return len(tables[0]), len(tables[-1])


def describe_vocabulary(state_dict: dict[str, Tensor]) -> str:
    """The same in words."""
    source, target = vocabularies(state_dict)
    translates = any(key.startswith("encoder.") for key in state_dict)
    return f"{source} source and {target} target symbols" if translates else f"{target} symbols"
