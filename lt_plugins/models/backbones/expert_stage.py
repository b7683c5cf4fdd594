"""Stage of a backbone that several experts have each for themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from lt_plugins.errors import UserInputError


class ExpertStage(nn.Module):
    """Multi-expert stage: blocks that the experts share, then a branch of further blocks for each expert.

    The first such stage of a network takes one map and gives one an expert; the stages after it take and give one an
    expert. All branches start from their own random weights, or from the same pretrained ones of a plain network
    (:func:`spread_to_experts`).

    Args:
        make_stage (Callable): Builds the whole stage of one expert, an ``nn.Sequential`` of residual blocks.
        num_experts (int): Number of experts ``K``.
        shared_blocks (int): How many of the first blocks are shared; a negative number counts from the last block, so
            that -1 leaves each expert only that one. Defaults to 0.

    Raises:
        UserInputError: If no block would be left to the experts.
    """

    def __init__(self, make_stage: Callable[[], nn.Sequential], num_experts: int, shared_blocks: int = 0) -> None:
        super().__init__()
        stages = [[*make_stage()] for _ in range(num_experts)]
        if not -len(stages[0]) <= shared_blocks < len(stages[0]):
            raise UserInputError(
                f"shared_blocks={shared_blocks} of a stage of {len(stages[0])} blocks must leave one to the experts; "
                f"give 0 to {len(stages[0]) - 1}, or -1 for all but the last block."
            )
        self.shared = nn.Sequential(*stages[0][:shared_blocks])
        self.experts = nn.ModuleList(nn.Sequential(*blocks[shared_blocks:]) for blocks in stages)

    def __getitem__(self, index: int) -> nn.Module:
        """A block on the way of the first expert; those of the others have the same sizes."""
        branch: nn.Module = self.experts[0]
        return [*self.shared, *branch.children()][index]

    def forward(self, maps: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Compute the map of each expert.

        Args:
            maps (Tensor | tuple[Tensor, ...]): The map that all experts share, shape ``(B, C, H, W)``, or one for each
                of the ``K`` experts.

        Returns:
            tuple[Tensor, ...]: ``K`` maps.
        """
        if isinstance(maps, Tensor):
            maps = (self.shared(maps),) * len(self.experts)
        return tuple(expert(x) for expert, x in zip(self.experts, maps, strict=True))


def pass_trunk(stages: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Compute the map that all experts share, which is the last one of a network without experts.

    Args:
        stages (Iterable[nn.Module]): Stages of a backbone, in order.
        x (Tensor): What the first of them takes.

    Returns:
        Tensor: Input of :func:`pass_branch`.
    """
    for stage in stages:
        if isinstance(stage, ExpertStage):
            return stage.shared(x)
        x = stage(x)
    return x


def pass_branch(stages: Iterable[nn.Module], x: Tensor, expert: int) -> Tensor:
    """Compute the last map of one expert.

    Args:
        stages (Iterable[nn.Module]): Stages of a backbone, in order.
        x (Tensor): What :func:`pass_trunk` gives, of any of the images.
        expert (int): Which expert, from 0.
    """
    for stage in stages:
        if isinstance(stage, ExpertStage):
            x = stage.experts[expert](x)
    return x


def spread_to_experts(module: nn.Module, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the weights of a plain network as a multi-expert network does: each expert gets those of its blocks.

    Args:
        module (nn.Module): The network that is to take them, or a model with one.
        state_dict (dict[str, Tensor]): Weights by name; those of a network with the same experts stay as they are.

    Returns:
        dict[str, Tensor]: The weights by their new names.
    """
    for name, stage in module.named_modules():
        if not isinstance(stage, ExpertStage):
            continue
        spread: dict[str, Tensor] = {}
        for key, value in state_dict.items():
            block, _, rest = key.removeprefix(f"{name}.").partition(".")
            if not key.startswith(f"{name}.") or not block.isdecimal():
                spread[key] = value
            elif (index := int(block)) < len(stage.shared):
                spread[f"{name}.shared.{index}.{rest}"] = value
            else:
                own = index - len(stage.shared)
                spread |= {f"{name}.experts.{k}.{own}.{rest}": value for k in range(len(stage.experts))}
        state_dict = spread
    return state_dict


def scale_width(channels: int, expert_width: float, unit: int = 1) -> int:
    """Width of a stage of an expert.

    Args:
        channels (int): Width of the stage in the plain network.
        expert_width (float): Share of it.
        unit (int): What the width must be a multiple of. Defaults to 1.

    Raises:
        UserInputError: If the share is not positive, or gives no whole number of channels.
    """
    scaled = channels * expert_width
    if scaled < unit or scaled % unit:
        raise UserInputError(
            f"expert_width={expert_width} makes {scaled:g} channels of {channels}; give a share that leaves a multiple "
            f"of {unit}, like 0.75 or 1."
        )
    return int(scaled)


def check_experts(num_experts: int, shared_stages: int, num_stages: int) -> None:
    """Refuse numbers of experts and of shared stages that make no network.

    Args:
        num_experts (int): Number of experts.
        shared_stages (int): Number of stages that they share.
        num_stages (int): Number of stages of the network.

    Raises:
        UserInputError: If there is no expert, or no stage left to them.
    """
    if num_experts < 1:
        raise UserInputError(f"num_experts={num_experts} must be 1 (the plain network) or more, like 3.")
    if not 0 <= shared_stages < num_stages:
        raise UserInputError(
            f"shared_stages={shared_stages} must be 0 to {num_stages - 1}, since experts differ in at least the last "
            f"of the {num_stages} stages."
        )
