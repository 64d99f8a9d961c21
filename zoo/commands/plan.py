"""`zoo plan`; its configuration is `zoo.planning.config.PlanConfig`."""

from zoo.commands.shared.arguments import whole, writable_file
from zoo.planning.accelerators import chosen_device
from zoo.planning.config import PlanConfig


def check(config: PlanConfig) -> None:
    """Checks the numbers and the file, before a backend starts."""
    for name in ("mesh_data", "mesh_model", "accumulate"):
        whole(name, getattr(config, name), 1)
    chosen_device(config)
    writable_file(config.picture)
    if str(config.picture) == "-":
        raise ValueError("--picture must be a file, not standard output (-).")


def run(config: PlanConfig) -> None:
    """Prints what a training run needs, and draws it if asked."""
    from zoo.commands.shared.printed import show, show_json
    from zoo.planning.picture import draw, facts, shown
    from zoo.planning.plan import plan

    planned = plan(config)
    if config.picture:
        draw(planned, config.picture)
    if config.json:
        show_json(facts(planned))
        return
    show(*shown(planned))
    if config.picture:
        print(f"Drew {config.picture}")
