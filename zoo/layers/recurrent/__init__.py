"""Recurrent layers: Elman network, GRU and LSTM."""

from zoo.layers.recurrent.cells import CELLS, GRU, LSTM, Elman, Recurrent

__all__ = ["CELLS", "Elman", "GRU", "LSTM", "Recurrent"]
