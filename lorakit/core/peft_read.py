"""Read PEFT's fields and keys (peft 0.21) for a given model, every key accounted for."""

import re

from torch import Tensor, nn

from lorakit.core.config import LoRAConfig
from lorakit.core.contents import Contents, check_matrix, few
from lorakit.core.errors import LoRAError, shown
from lorakit.core.patterns import Patience
from lorakit.core.peft_fields import check_fields, expected_paths
from lorakit.core.peft_write import PREFIX, most_common, shortest_names, tidy
from lorakit.core.targets import (
    SLICES,
    Target,
    base_modules,
    endings,
    is_fused,
    is_projection,
    listed,
    matches_name,
    projection_shape,
)


def from_peft(model: nn.Module, fields: dict, tensors: dict[str, Tensor], slices: dict[str, list[str]]) -> Contents:
    """Read PEFT's fields and tensors for this model, every key accounted for; looks at no tensor's values.

    Raises LoRAError that names what lorakit cannot represent, and every missing, unexpected or misshapen key.
    """
    check_fields(fields)
    patience = Patience()
    modules = dict(base_modules(model))
    # PEFT lists "classifier" and "score" for every sequence classifier: names that this model lacks say nothing.
    names = LoRAConfig(modules_to_save=fields.get("modules_to_save") or ()).modules_to_save
    owners = listed(list(modules), names)
    ends = {end for path in owners for end in endings(path)}
    modules_to_save = tuple(name for name in names if name in ends)
    use_rslora = bool(fields.get("use_rslora"))
    dropout = fields.get("lora_dropout")
    read = LoRAConfig(
        r=fields.get("r", 8),
        alpha=fields.get("lora_alpha", 8),
        dropout=0.0 if dropout is None else dropout,
        use_rslora=use_rslora,
        targets=("all-linear",),  # stands in until the keys have said which
        modules_to_save=modules_to_save,
        rank_pattern=fields.get("rank_pattern") or {},
        alpha_pattern=fields.get("alpha_pattern") or {},
    )
    found, saved, unexpected = _sort_keys(tensors, modules, owners)
    missing = [f"{path}.lora_{ab}" for path in found for ab in "AB" if ab not in found[path]]
    expected = expected_paths(model, fields, patience)
    if expected is not None:
        missing += [f"{path}.lora_A" for path in expected if path not in found]
        surplus = found.keys() - set(expected)
        unexpected += [f"{path}.lora_A (target_modules does not name it)" for path in sorted(surplus)]
    missing += [path for path in owners if path not in saved and modules[path].state_dict()]
    if missing or unexpected or not found:
        raise LoRAError(
            "the adapter's file does not fit this model; "
            f"missing: {few(missing)}; unexpected: {few(unexpected)}. Was it trained on another base?"
        )
    _check_slices(model, slices, {path: modules[path] for path in found})
    targets, weights, ranks, alphas = [], {}, {}, {}
    for path in (path for path in modules if path in found):
        module, R = modules[path], read.rank_of(path, patience)
        in_features, out_features = projection_shape(module)
        A, B = found[path]["A"], found[path]["B"]
        check_matrix(f"{path}.lora_A", A, (R, in_features), R)
        check_matrix(f"{path}.lora_B", B, (out_features, R), R)
        target = Target(path, module, tuple(slices.get(path, ())))
        if target.slices and R % len(target.slices):
            raise LoRAError(f"{path} is marked as {len(target.slices)} slices, but its rank {R} is no multiple of that")
        n, alpha = max(len(target.slices), 1), read.alpha_of(path, patience)
        if n > 1:  # written as one projection of rank n*r: what to_peft did, undone (and its rounding)
            alpha = float(f"{alpha / (n**0.5 if use_rslora else n):.12g}")
        targets.append(target)
        weights[path] = (A, B)
        ranks[path], alphas[path] = R // n, tidy(alpha)
    r, rank_pattern = most_common(ranks)
    alpha, alpha_pattern = most_common(alphas)
    names = [(n, s) for n in shortest_names(model, list(found)) or found for s in _slices_under(n, slices)]
    config = LoRAConfig(
        r=r,
        alpha=alpha,
        dropout=read.dropout,
        targets=tuple(f"{n}.{s}" if s else n for n, s in names),
        use_rslora=use_rslora,
        modules_to_save=modules_to_save,
        rank_pattern=rank_pattern,
        alpha_pattern=alpha_pattern,
    )
    return Contents(config, targets, weights, saved)


def _sort_keys(tensors: dict, modules: dict, owners: list[str]) -> tuple[dict, dict, list[str]]:
    """A and B by projection, the tensors of the owners (modules saved whole) by owner, and the keys that are neither.

    A key may hold an adapter's name (X.lora_A.default.weight); two such names are two adapters, and one too many.
    """
    found, saved, unexpected, infixes = {}, {}, [], set()
    owners = sorted(owners, key=len)  # of two, one inside the other, the outer one
    for key, tensor in tensors.items():
        name = key.removeprefix(PREFIX)
        lora = re.fullmatch(r"(.+)\.lora_([AB])(\.[^.]+)?\.weight", name)
        owner = next((path for path in owners if name.startswith(path + ".")), None)
        if lora and key.startswith(PREFIX) and is_projection(modules.get(lora[1], nn.Identity())):
            found.setdefault(lora[1], {})[lora[2]] = tensor
            infixes.add(lora[3])
        elif owner and key.startswith(PREFIX):
            saved.setdefault(owner, {})[name[len(owner) + 1 :]] = tensor
        else:
            unexpected.append(key)
    if len(infixes) > 1:
        names = few(sorted(shown(infix[1:]) if infix else "one without a name" for infix in infixes))
        raise LoRAError(f"the adapter's file holds the tensors of several adapters: {names}. Save each on its own")
    return found, saved, unexpected


def _check_slices(model: nn.Module, slices: dict[str, list[str]], found: dict[str, nn.Module]) -> None:
    """Raise LoRAError unless these are slices that the adapted projections have, each once and in order."""
    for path, pieces in slices.items():
        known = path in found and is_fused(path, found[path], model)
        if (
            not known
            or not pieces
            or not isinstance(pieces, list)
            or pieces != [name for name in SLICES if name in pieces]
        ):
            raise LoRAError(
                f"the file marks {shown(path)} as an adapter of the slices {shown(pieces)}: it has none such"
            )


def _slices_under(name: str, slices: dict[str, list[str]]) -> list[str]:
    return next((pieces for path, pieces in slices.items() if matches_name(path, name)), [""])
