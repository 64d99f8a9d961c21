"""Recurrent layers: Elman's, the GRU and the LSTM."""

from zoo.layers.recurrent.cells import CELLS, GRU, LSTM, Elman, Recurrent

__all__ = ["CELLS", "Elman", "GRU", "LSTM", "Recurrent"]
