"""Datasets of tasks: labelled texts, tagged words and questions."""

from zoo.data.tasks.labelled import (
    LabelledText,
    Question,
    T,
    TaggedWords,
    TaskDataset,
    folder_of,
    held_out,
    parts_in,
)

__all__ = [
    "LabelledText",
    "Question",
    "T",
    "TaggedWords",
    "TaskDataset",
    "folder_of",
    "held_out",
    "parts_in",
]
