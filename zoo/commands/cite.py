"""`zoo cite`."""

from dataclasses import dataclass

from zoo.commands.shared.arguments import Subject


@dataclass(frozen=True)
class CiteConfig:
    """Print BibTeX of a model's papers, and of this project.

    For example:

        zoo cite iwae.mnist

    Attributes:
        name: any name that `zoo list` shows, a preset's folder, or a Hugging Face Hub
            address, `hf://owner/name`, of a preset that was downloaded.
    """

    name: Subject


def run(config: CiteConfig) -> None:
    """Prints the entries."""
    from zoo.store.names import family_of, is_model
    from zoo.store.papers import PROJECT, cited

    model, name = (config.name, "") if is_model(config.name) else family_of(config.name)
    found = cited(model, name)
    print("\n\n".join([*found, PROJECT]))
